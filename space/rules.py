"""How a wrong value is told, once: rules in annotations, `depth: Annotated[int, integer(1, 512)]`,
which `check_fields(self)` checks in `__post_init__`, and the words of an error. What exists is then
valid."""

from __future__ import annotations

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

# Far above any network that trains on one image, far below what exhausts memory when it is built.
LIMITS = {
    "img_size": 4096,
    "patch_size": 4096,
    "in_chans": 1024,
    "num_classes": 1_000_000,
    "embed_dim": 16384,
    "depth": 512,
    "num_heads": 1024,
}
MAX_TOKENS = 65536

Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be: `words` for people ("an integer from 1 to 9"), `holds` for the rest."""

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()  # all values that it allows, where these are texts

    def check(self, name: str, value: Any, *, fix: str = "") -> None:
        """Raises ValueError with the sentence, unless the rule holds."""
        if not self.holds(value):
            raise ValueError(self.sentence(name, value, fix=fix))

    def sentence(self, name: str, value: Any, *, fix: str = "") -> str:
        """What is wrong with `value`: its name, the rule, the value, and the nearest of the texts
        that it may be, else `fix`."""
        near = _nearest(value, self.names)
        end = f": did you mean {near!r}?" if near else f": {fix}." if fix else "."
        return f"`{name}` must be {self.words}, but got {show(value)}{end}"


def integer(low: int, high: int | None = None) -> Rule:
    """An int, not a bool, from `low` to `high`, or of at least `low`."""
    if high is None:
        return Rule(f"an integer of at least {low}", lambda x: type(x) is int and low <= x)
    return Rule(f"an integer from {low} to {high}", lambda x: type(x) is int and low <= x <= high)


def odd(low: int, high: int) -> Rule:
    """An odd int from `low` to `high`."""
    whole = integer(low, high)
    return Rule(f"an odd integer from {low} to {high}", lambda x: whole.holds(x) and x % 2 == 1)


def number(
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> Rule:
    """An int or float, not a bool and not NaN, between an open (`above`, `below`) or closed (`low`,
    `high`) bound on each side."""
    least = above if above is not None else low
    most = below if below is not None else high
    start = "above" if above is not None else "from"
    end = "below " if below is not None else ""
    to = "to" if low is not None else "and" if below is not None else "and at most"
    words = f"a number {start} {_figure(least)} {to} {end}{_figure(most)}"

    def holds(x: Any) -> bool:
        if type(x) not in (int, float):
            return False
        return bool(
            (x > least if above is not None else x >= least)
            and (x < most if below is not None else x <= most)
            and x != math.inf
        )

    return Rule(words, holds)


def one_of(*names: str) -> Rule:
    """One of these texts."""
    return Rule(f"one of {list(names)}", lambda x: isinstance(x, str) and x in names, names)


def flag() -> Rule:
    """A bool."""
    return Rule("true or false", lambda x: type(x) is bool)


def text(most: int | None = None) -> Rule:
    """A str, of at most `most` characters."""
    if most is None:
        return Rule("a text", lambda x: isinstance(x, str))
    words = f"a text of at most {most} characters"
    return Rule(words, lambda x: isinstance(x, str) and len(x) <= most)


def optional(rule: Rule) -> Rule:
    """None, or what `rule` asks for."""
    return Rule(rule.words, lambda x: x is None or rule.holds(x), rule.names)


def check_fields(value: Any, *, option: bool = False, fix: str = "") -> None:
    """Raises ValueError on the first field of a dataclass that breaks the rule of its annotation.

    `option`: fields are named as options of the command line, `--max-params`.
    """
    kind: Any = type(value)
    for name, rule in _field_rules(kind):
        field = getattr(value, name)
        if not rule.holds(field):
            rule.check(_option(name) if option else name, field, fix=fix)


def check_options(kind: Any, values: Mapping[str, Any], *, fix: str = "") -> None:
    """`check_fields` of a dataclass `kind` that is not yet made, from the options it will have."""
    for name, rule in _field_rules(kind):
        if name in values:
            rule.check(_option(name), values[name], fix=fix)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


@cache
def _field_rules(kind: Any) -> tuple[tuple[str, Rule], ...]:
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        rules = [part for part in get_args(hints[field.name]) if isinstance(part, Rule)]
        found += [(field.name, rule) for rule in rules]
    return tuple(found)


def field_names(kind: Any) -> tuple[str, ...]:
    """The names of the fields that a dataclass is made of, in order."""
    return _field_names(kind)


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def from_dict(kind: type[Kind], what: str, values: Any) -> Kind:
    """The dataclass `kind` of a plain dict. Raises ValueError on an unknown, missing or wrong value
    of a `what`; nothing is converted: "12" is not 12."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    needed = [
        field.name
        for field in fields
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    check_keys(what, values, field_names(kind), needed)
    return kind(**values)


def to_dict(value: Any) -> dict[str, Any]:
    """The fields of a flat dataclass as plain JSON; tuples are lists."""
    fields = ((name, getattr(value, name)) for name in field_names(type(value)))
    return {name: list(field) if isinstance(field, tuple) else field for name, field in fields}


def check_keys(what: str, values: Any, known: Iterable[str], required: Iterable[str] = ()) -> None:
    """Raises ValueError unless `values` is a mapping with only `known` and all `required` keys."""
    known = list(known)
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{_a(what)} must be a table of {', '.join(known)}, but got {show(values)}."
        )
    for key in values:
        if key not in known:
            raise ValueError(f"Unknown {what} key {show(key)}{did_you_mean(key, known)}")
    missing = [key for key in required if key not in values]
    if missing:
        raise ValueError(f"{_a(what)} needs {', '.join(f'`{key}`' for key in missing)}.")


def _a(what: str) -> str:
    """A recipe, an architecture; at the start of a sentence."""
    return f"{'An' if what[:1].lower() in set('aeiou') else 'A'} {what}"


def show(value: object) -> str:
    """A value for an error sentence: one short line, however large or deep the value is."""
    try:
        return _SHORT.repr(value)[:80]
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 2, 60, 60, 60


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known name, else all of them."""
    known = list(known)
    near = _nearest(name, known)
    return f": did you mean {near!r}?" if near else f": choose from {', '.join(known)}."


def _nearest(name: object, known: Iterable[str]) -> str | None:
    text = name[:80] if isinstance(name, str) else ""
    near = difflib.get_close_matches(text, list(known), n=1, cutoff=0.5)
    return near[0] if near else None


def _figure(value: float | None) -> str:
    """1e9 as people write it, where Python writes 1e+09."""
    return f"{value:g}".replace("e+0", "e").replace("e+", "e")


def nearest_multiple(value: int, factor: int) -> int:
    """The multiple of `factor`, at least one, that is nearest to `value`."""
    return max(factor, round(value / factor) * factor)
