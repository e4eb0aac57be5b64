"""Private names of other libraries: what is used, and what breaks without it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module, metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateName:
    """One name that a library does not promise: "module:name.name". `without` says what goes wrong
    if it is gone."""

    # `within` is what is used where that is not the name itself: an argument of this function, or
    # an attribute that it gives its object.

    name: str
    without: str
    within: str | None = None

    def find(self) -> object:
        """What the name stands for. Raises ImportError or AttributeError if it is gone."""
        module, _, path = self.name.partition(":")
        found: object = reduce(getattr, path.split(".") if path else (), import_module(module))
        if self.within is not None:
            code = getattr(inspect.unwrap(found), "__code__", None)  # type: ignore[arg-type]
            known = getattr(code, "co_names", ()) + getattr(code, "co_varnames", ())
            if self.within not in known:
                raise AttributeError(f"{self.name} has no {self.within}")
        return found

    def __str__(self) -> str:
        return f"{self.name} ({self.within})" if self.within else self.name


def complaints(
    package: str, names: Sequence[PrivateName], tried: tuple[str, str], *, see: str
) -> list[str]:
    """A sentence if `package` is older or newer than what was `tried` (oldest, newest), with what
    to `see` to, and one for each name that it lacks."""
    version = metadata.version(package)
    here, oldest, newest = (_release(text) for text in (version, *tried))
    found = []
    if not oldest <= here <= newest:
        found.append(
            f"This vit-frontier was tried with {package} {span(tried)}, here is {version}: "
            f"see that {see}."
        )
    for name in names:
        try:
            name.find()
        except (ImportError, AttributeError):
            found.append(f"{package} {version} has no {name}: {name.without}.")
    return found


def span(tried: tuple[str, str]) -> str:
    """ "2.45 to 2.60", or the one version that was tried."""
    oldest, newest = tried
    return oldest if oldest == newest else f"{oldest} to {newest}"


def _release(version: str) -> tuple[int, ...]:
    """(2, 60) of "2.60.0rc1"."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
