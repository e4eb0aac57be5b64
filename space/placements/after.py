"""`After`: how many parts of a kind stand after blocks, and after which. It knows no kind."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from space.choosing import checked_choices
from space.placements.placement import Blocks, Bound, Params
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from space.draft import Draft
    from space.parts.part import Part, Shape


@dataclass(frozen=True, kw_only=True)
class After(Bound):
    """Up to `stages` parts of the kind, each after another block, one of `after` if that is given.
    The choices of its fields are one for all."""

    stages: tuple[int, ...] = (0,)
    blocks: tuple[int, ...] | None = None
    between: bool = False  # only where another block follows

    def bind(self, kind: type[Part], table: str, values: Any, depths: tuple[int, ...]) -> Self:
        bound = self._bound(kind, table, values, depths, ["stages", "after"])
        limit = LIMITS["depth"]
        stages = checked_choices(f"{table}.stages", values.get("stages", (0,)), integer(0, limit))
        blocks = values.get("after")
        if blocks is not None:
            blocks = checked_choices(f"{table}.after", blocks, integer(0, limit - 1))
        return dataclasses.replace(self, **bound, stages=stages, blocks=blocks)

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {"stages": list(self.stages)}
        if self.blocks is not None:
            values["after"] = list(self.blocks)
        return values | {choice: list(choices) for choice, choices in self.spread.items()}

    def is_off(self) -> bool:
        return self.stages == (0,)

    def off(self) -> Params | None:
        return {f"{self.name}_stages": 0} if 0 in self.stages else None

    def is_forced(self) -> bool:
        # One that every network has can stand after the last of the first blocks, at no cost.
        ends = not self.between and self.blocks is None
        fewer = {*self.stages, 0} if ends else set(self.stages)
        return fewer != set(range(max(self.stages) + 1))

    def slots(self) -> int | None:
        return max(self.stages) if self.blocks is None else None

    @cached_property
    def _positions(self) -> dict[int, tuple[int, ...]]:
        """Blocks after which one may stand, for each depth."""
        return {depth: self._places(depth) for depth in self.depths}

    def _places(self, depth: int) -> tuple[int, ...]:
        blocks = range(depth) if self.blocks is None else self.blocks
        return tuple(block for block in blocks if block < depth - self.between)

    @cached_property
    def _slots(self) -> int:
        return max(len(positions) for positions in self._positions.values())

    def genes(self) -> dict[str, tuple[Any, ...]]:
        genes: dict[str, tuple[Any, ...]] = {f"{self.name}_stages": self.stages}
        if self.is_off():
            return genes
        places, most = tuple(range(self._slots)), max(self.stages)
        genes |= {f"{self.name}_{i}_after": places for i in range(1, most + 1)}
        return genes | self._spread_genes()

    def decode(self, params: Mapping[str, Any], draft: Draft) -> None:
        asked = params.get(f"{self.name}_stages", self.stages[0])
        if not asked:
            return
        chosen, positions = self._chosen(params), self._positions[draft.depth]
        alone = not draft.has_tokens_changed and not self.kind.widens
        most = min(asked, len(positions), self._possible(draft.start, chosen, asked))
        for stages in sorted((s for s in self.stages if s <= most), reverse=True):
            copy = draft if alone else draft.copy()
            self._put(self._decoded(params, stages, positions), chosen, copy)
            if alone or copy.is_possible():
                draft.then, draft.cuts, draft.widened = copy.then, copy.cuts, copy.widened
                return

    def _decoded(
        self, params: Mapping[str, Any], stages: int, positions: tuple[int, ...]
    ) -> list[int]:
        free, places = list(positions), []
        for i in range(1, stages + 1):
            wanted = params.get(f"{self.name}_{i}_after", 0) * len(positions) // self._slots
            target = positions[wanted]
            block = min(free, key=lambda b: (abs(b - target), b))
            free.remove(block)
            places.append(block)
        return sorted(places)

    def _put(self, blocks: Any, combination: Mapping[str, Any], draft: Draft) -> None:
        for number, block in enumerate(blocks):
            draft.put_after(block, draft.placed(self.kind, combination, None, number))

    def _possible(self, start: Shape, combination: Mapping[str, Any], most: int) -> int:
        """How many in a row, at most `most`, the tokens behind the stem allow."""
        key = (start, tuple(combination.values()), most)
        if key not in self._known_possible:
            self._known_possible[key] = len(self._keys(start, combination, most))
        return self._known_possible[key]

    @cached_property
    def _known_possible(self) -> dict[Hashable, int]:
        return {}

    def _keys(
        self, start: Shape, combination: Mapping[str, Any], most: int
    ) -> tuple[Hashable, ...]:
        """What each of at most `most` parts in a row does, as far as the tokens allow."""
        from space.parts.part import Shapes

        keys: list[Hashable] = []
        shape = start
        for number in range(most):
            try:
                part = self.kind.placed(combination, None, Shapes(start, number))
                after = part.after(shape)
            except ValueError:
                break
            keys.append(part.key(shape))
            shape = after
        return tuple(keys)

    def encode(self, draft: Draft) -> Params:
        found = [
            (block, part)
            for block, parts in enumerate(draft.then)
            for part in parts
            if type(part) is self.kind
        ]
        if not found:
            return {f"{self.name}_stages": 0}
        positions = self._positions[draft.depth]
        values: Params = {f"{self.name}_stages": len(found)}
        for i, (block, _) in enumerate(found, start=1):
            if block not in positions:
                raise ValueError(f"`{self.table}.after` has no block {block}")
            place = positions.index(block)
            values[f"{self.name}_{i}_after"] = -(-place * self._slots // len(positions))
        return values | self._as_genes(self._read(draft, [part for _, part in found]))

    def _read(self, draft: Draft, parts: list[Part]) -> dict[str, Any]:
        """The choices that do what these parts do, one after the other."""
        wanted: tuple[Hashable, ...] = ()
        shapes = draft.shapes_before(self.kind)
        wanted = tuple(part.key(shape) for part, shape in zip(parts, shapes, strict=True))
        for combination in self._combinations:
            made = [
                draft.placed(self.kind, combination, None, number) for number in range(len(parts))
            ]
            if tuple(p.key(s) for p, s in zip(made, shapes, strict=True)) == wanted:
                return combination
        raise ValueError(f"no choice of [{self.table}] makes {parts[0]}")

    def _shapes(self, start: Shape, stages: int) -> dict[Hashable, dict[str, Any]]:
        """The distinct choices of `stages` parts behind that stem, by what they do."""
        if not stages:
            return {(): self._combinations[0]}
        if (start, stages) not in self._known_shapes:
            shapes: dict[Hashable, dict[str, Any]] = {}
            for number, combination in enumerate(self._combinations):
                keys = self._keys(start, combination, stages)
                if len(keys) == stages:  # what is one width here may be two behind another part
                    shapes.setdefault((keys, number if self.kind.widens else 0), combination)
            self._known_shapes[start, stages] = shapes
        return self._known_shapes[start, stages]

    @cached_property
    def _known_shapes(self) -> dict[Hashable, dict[Hashable, dict[str, Any]]]:
        return {}

    def count(self, depth: int, start: Shape) -> int:
        places = len(self._positions[depth])
        return sum(
            math.comb(places, stages) * len(self._shapes(start, stages)) for stages in self.stages
        )

    def every(self, draft: Draft) -> Iterator[Draft]:
        for stages in self.stages:
            for combination in self._shapes(draft.start, stages).values():
                for places in itertools.combinations(self._positions[draft.depth], stages):
                    copy = draft.copy()
                    self._put(places, combination, copy)
                    yield copy

    def least(self, draft: Draft) -> Iterator[Draft]:
        positions = self._positions[draft.depth]
        for combination in self._unlike(draft.start):
            most = self._possible(draft.start, combination, max(self.stages))
            for stages in reversed(self.stages):
                if stages <= min(most, len(positions)):
                    for places in self._extremes(draft, positions, stages):
                        copy = draft.copy()
                        self._put(places, combination, copy)
                        yield copy

    def _unlike(self, start: Shape) -> list[dict[str, Any]]:
        """The combinations of choices that differ in cost or in what they leave of tokens."""
        from space.parts.part import Shapes

        found: dict[Hashable, dict[str, Any]] = {}
        for combination in self._combinations:
            cost: list[Hashable] = []
            shape = start
            for number in range(max(self.stages)):
                part = self.kind.placed(combination, None, Shapes(start, number))
                try:
                    after = part.after(shape)
                except ValueError:
                    break
                cost.append((after, part.flops(shape), part.params(shape)))
                shape = after
            found.setdefault(tuple(cost), combination)
        return list(found.values())

    def _extremes(self, draft: Draft, positions: Blocks, stages: int) -> Iterator[Blocks]:
        """The places among which are those of least cost: the first, but where widths grow, which
        blocks then have most of the depth; behind such parts, the first of any block on."""
        if self.kind.widens:
            for early in range(stages + 1):
                late = len(positions) - (stages - early)
                yield (*positions[:early], *positions[late:])
        elif draft.widened:
            yield from (positions[i : i + stages] for i in range(len(positions) - stages + 1))
        else:
            yield positions[:stages]

    def check(self, starts: Mapping[str, Shape]) -> None:
        fewest, most = min(self.stages), max(self.stages)
        for depth, places in self._positions.items():
            if len(places) < fewest:
                raise ValueError(
                    f"`{self.table}.stages` asks for at least {fewest} {self.name}s, but {depth} "
                    f"blocks have {len(places)} places for one: add 0 to the stages or remove "
                    f"depth {depth}."
                )
        if most > self._slots:
            raise ValueError(
                f"`{self.table}.stages` (={most}) must be at most the {self._slots} places for a "
                f"{self.name} in the deepest network."
            )
        self._check_reach(starts, fewest, most)

    def _check_reach(self, starts: Mapping[str, Shape], fewest: int, most: int) -> None:
        """Refuses choices that no network can use, and stages that no tokens allow."""
        reach = {
            (index, where): self._possible(start, combination, most)
            for index, combination in enumerate(self._combinations)
            for where, start in starts.items()
        }
        for (index, where), stages in reach.items():
            if most and (stages < fewest or self._is_useless(index, reach)):
                shown = ", ".join(
                    f"{choice}={self._combinations[index][choice]}"
                    for choice, choices in self.spread.items()
                    if not isinstance(choices[0], str)
                )
                raise ValueError(
                    f"A {self.name} must leave at least 1 and fewer tokens than enter it, but "
                    f"{shown} allow {stages} {self.name}s on the {starts[where].tokens} tokens of "
                    f"{where}: use other choices, a smaller patch_size, or fewer stages."
                )
        furthest = max(reach.values())
        if furthest < most:
            raise ValueError(
                f"`{self.table}.stages` (={most}) must leave at least 1 token, but {furthest} "
                f"{self.name}s is the most that any choices allow: lower it."
            )

    def _is_useless(self, index: int, reach: Mapping[tuple[int, str], int]) -> bool:
        """Whether one of the combination's choices allows no part anywhere."""
        mine = self._combinations[index]
        return any(
            not any(
                stages
                for (other, _), stages in reach.items()
                if self._combinations[other][choice] == value
            )
            for choice, value in mine.items()
        )
