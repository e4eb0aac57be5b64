"""Who decides and who runs: settings, sampler, scheduler, Ray, and the command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.driver import run_search
    from search.settings import SearchSettings

__all__ = ["SearchSettings", "run_search"]

_LAZY = {"SearchSettings": "search.settings", "run_search": "search.driver"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
