"""Who decides and who runs: settings, sampler, scheduler, Ray, and the command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.calls import resume, search
    from search.cluster.ending import ClusterLostError
    from search.driver import run_search
    from search.settings import SearchSettings

__all__ = ["ClusterLostError", "SearchSettings", "resume", "run_search", "search"]

_LAZY = {
    "ClusterLostError": "search.cluster.ending",
    "SearchSettings": "search.settings",
    "resume": "search.calls",
    "run_search": "search.driver",
    "search": "search.calls",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
