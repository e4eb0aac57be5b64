"""`Placement`: the questions that a search space asks of one table of its file, and what the two
placements hold in common."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from space.choosing import checked_choices
from space.rules import Rule, check_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from space.draft import Draft
    from space.parts.part import Part, Shape

Params = dict[str, Any]
Declared = Mapping[str, tuple[Rule, tuple[Any, ...]]]  # choice -> its rule, its default choices
Blocks = tuple[int, ...]


class Placement(Protocol):
    """One table of a space file, as the eight questions a search space asks of it."""

    @property
    def table(self) -> str:
        """The name of the table."""

    @property
    def kind(self) -> type[Part]:
        """The kind that is placed."""

    @property
    def spread(self) -> Mapping[str, tuple[Any, ...]]:
        """The choices of the part's own fields."""

    def bind(self, kind: type[Part], table: str, values: Any, depths: tuple[int, ...]) -> Placement:
        """This placement with the choices of a file. Raises ValueError."""

    def to_dict(self) -> dict[str, Any]:
        """The table as `bind` reads it."""

    def is_off(self) -> bool:
        """Whether no network has the kind."""

    def off(self) -> Params | None:
        """Genes of a network without the kind; `None` if every network has it."""

    def is_forced(self) -> bool:
        """Whether a network's first blocks alone may have too few of the kind."""

    def slots(self) -> int | None:
        """After how many blocks it may stand; None where it matters which blocks there are."""

    def genes(self) -> dict[str, tuple[Any, ...]]:
        """Choices by gene, those with one choice included."""

    def decode(self, params: Mapping[str, Any], draft: Draft) -> None:
        """Puts parts into a draft."""

    def encode(self, draft: Draft) -> Params:
        """The canonical genes of what a draft holds. Raises ValueError if no genes make it."""

    def count(self, depth: int, start: Shape) -> int:
        """How many different ways there are, of this placement alone."""

    def every(self, draft: Draft) -> Iterator[Draft]:
        """The draft with every one of these ways."""

    def least(self, draft: Draft) -> Iterator[Draft]:
        """The draft with the ways that may have the fewest FLOPs or parameters."""

    def check(self, starts: Mapping[str, Shape]) -> None:
        """Raises ValueError on a choice that no network can use; `starts`: shapes behind the stems
        by their words."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What both placements hold: the declaration, and once bound the choices of a file."""

    table: str
    choices: Declared = field(default_factory=dict)
    name: str = ""  # of the genes
    _kind: type[Part] | None = field(default=None, repr=False)
    spread: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    depths: tuple[int, ...] = ()

    @property
    def kind(self) -> type[Part]:
        assert self._kind is not None, "a declared placement is bound by a search space"
        return self._kind

    def _bound(
        self, kind: type[Part], table: str, values: Any, depths: tuple[int, ...], own: Any
    ) -> dict[str, Any]:
        """The fields of the bound placement, after a check of the table's keys."""
        check_keys(f"search space's [{table}]", values, [*own, *self.choices])
        spread = {
            choice: checked_choices(f"{table}.{choice}", values.get(choice, default), rule)
            for choice, (rule, default) in self.choices.items()
        }
        name = kind.kind.rpartition(":")[2].lower()
        return {"_kind": kind, "table": table, "name": name, "spread": spread, "depths": depths}

    @cached_property
    def _combinations(self) -> tuple[dict[str, Any], ...]:
        """Every combination of the choices of the part's own fields."""
        values = itertools.product(*self.spread.values())
        return tuple(dict(zip(self.spread, combination, strict=True)) for combination in values)

    def _chosen(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            choice: params.get(f"{self.name}_{choice}", choices[0])
            for choice, choices in self.spread.items()
        }

    def _as_genes(self, combination: Mapping[str, Any]) -> Params:
        return {f"{self.name}_{choice}": value for choice, value in combination.items()}

    def _spread_genes(self) -> dict[str, tuple[Any, ...]]:
        return {f"{self.name}_{choice}": choices for choice, choices in self.spread.items()}
