"""What came out of a search: trial records, the frontier, its hypervolume, the report and exports.

Importing this package loads neither optuna nor altair; the names that need them load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from results.frontier import hypervolume, pareto_front
from results.record import Epoch, TrialRecord, record_from_trial

if TYPE_CHECKING:
    from results.export import write_timm_folder
    from results.report import render_report
    from results.run import Run, load_run
    from results.write import write_results

__all__ = [
    "Epoch",
    "Run",
    "TrialRecord",
    "hypervolume",
    "load_run",
    "pareto_front",
    "record_from_trial",
    "render_report",
    "write_results",
    "write_timm_folder",
]

_LAZY = {
    "Run": "results.run",
    "load_run": "results.run",
    "render_report": "results.report",
    "write_results": "results.write",
    "write_timm_folder": "results.export",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
