"""Where in the depth a kind of part may stand: `Among` the blocks, or `After` some of them. A
placement gives its genes, decodes, encodes, counts and enumerates; it knows no kind."""

# A part declares its placement with the table of a space file, its choices and their defaults. A
# search space binds it to the choices of its file.

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

from space.choosing import checked_choices
from space.rules import LIMITS, Rule, check_keys, integer, one_of

if TYPE_CHECKING:
    from space.draft import Draft
    from space.parts.part import Part, Shape

Params = dict[str, Any]
Declared = Mapping[str, tuple[Rule, tuple[Any, ...]]]  # choice -> its rule, its default choices
Blocks = tuple[int, ...]
PLACES = ("none", "all", "suffix", "free")


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
class _Bound:
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


@dataclass(frozen=True, kw_only=True)
class Among(_Bound):
    """Which blocks have the kind as their `role` (attention, mlp, local): `none`, `all`, `suffix`
    (the last k blocks) or `free` (any of them). The choices of its fields are one for all.

    Not `anywhere`: a kind that asks something of the tokens (a grid, a class token) or changes
    them. Where it cannot stand beside other kinds it is left out.
    """

    role: str
    anywhere: bool = True
    places: tuple[str, ...] = ("none",)

    def bind(self, kind: type[Part], table: str, values: Any, depths: tuple[int, ...]) -> Self:
        bound = self._bound(kind, table, values, depths, ["placement"])
        places = checked_choices(
            f"{table}.placement", values.get("placement", ("none",)), one_of(*PLACES)
        )
        return dataclasses.replace(self, **bound, places=places)

    def to_dict(self) -> dict[str, Any]:
        spread = {choice: list(choices) for choice, choices in self.spread.items()}
        return {"placement": list(self.places), **spread}

    def is_off(self) -> bool:
        return self.places == ("none",)

    def off(self) -> Params | None:
        place = next((p for p in ("none", "free") if p in self.places), None)
        return None if place is None else {self.name: place}

    def is_forced(self) -> bool:
        return "none" not in self.places

    def slots(self) -> int | None:
        return 0 if self.anywhere else None

    @property
    def _deepest(self) -> int:
        return max(self.depths)

    def genes(self) -> dict[str, tuple[Any, ...]]:
        genes: dict[str, tuple[Any, ...]] = {self.name: self.places}
        if "suffix" in self.places:
            genes[f"{self.name}_last"] = tuple(range(1, self._deepest + 1))
        if "free" in self.places:
            genes |= {f"{self.name}_{i}": (False, True) for i in range(1, self._deepest + 1)}
        return genes if self.is_off() else genes | self._spread_genes()

    def decode(self, params: Mapping[str, Any], draft: Draft) -> None:
        place = params.get(self.name, self.places[0])
        if place == "none":
            return
        chosen = self._chosen(params)
        room = self._room(draft, chosen)
        blocks = self._decoded(params, place, room, draft.depth)
        if blocks:
            self._put(blocks, chosen, draft)

    def _room(self, draft: Draft, combination: Mapping[str, Any]) -> tuple[int, ...]:
        """The blocks in which the kind can stand: all, unless it needs a grid."""
        if not self.kind.needs_grid:
            return tuple(range(draft.depth))
        part = draft.placed(self.kind, combination, draft.base(self.role), 0)
        return tuple(b for b, shape in enumerate(draft.shapes()) if _stands(part, shape))

    def _decoded(
        self, params: Mapping[str, Any], place: str, room: tuple[int, ...], depth: int
    ) -> tuple[int, ...]:
        if place == "all":
            return room
        if place == "suffix":
            last = -(-params.get(f"{self.name}_last", 1) * len(room) // self._deepest)
            return room[len(room) - last :]
        # Gene i is the i-th block from the end, so that depth can change and the suffix stays.
        return tuple(b for b in room if params.get(f"{self.name}_{depth - b}", False))

    def _put(self, blocks: tuple[int, ...], combination: Mapping[str, Any], draft: Draft) -> None:
        there = draft.roles[self.role]
        first = 0
        for i, block in enumerate(blocks, start=1):  # runs that take the place of one part
            before = there[block]
            if i == len(blocks) or blocks[i] > block + 1 or there[blocks[i]] is not before:
                part = draft.placed(self.kind, combination, before, 0)
                draft.put(self.role, blocks[first], block + 1, part)
                first = i

    def encode(self, draft: Draft) -> Params:
        parts, taken = draft.roles[self.role], draft.taken[self.role]
        blocks = tuple(block for block, part in enumerate(parts) if type(part) is self.kind)
        combination = self._read(draft, blocks) if blocks else self._combinations[0]
        values = self._as_genes(combination) if blocks else {}
        room = self._room(draft, combination)
        values |= self._encoded(self._without(blocks, taken, room), room, draft.depth)
        draft.taken[self.role] = taken | set(blocks)
        return values

    def _without(
        self, blocks: tuple[int, ...], taken: set[int], room: tuple[int, ...]
    ) -> tuple[int, ...]:
        """The blocks that the kind was put into before those `taken` were given to later kinds: of
        the sets that its places make, the first that leaves `blocks`."""
        if not taken or not room or (not blocks and self.off() is not None):
            return blocks
        first = min((*blocks, room[-1]))
        made = {"all": room, "suffix": tuple(block for block in room if block >= first)}
        for place, blocks_of in made.items():
            if place in self.places and set(blocks_of) - taken == set(blocks):
                return blocks_of
        return blocks

    def _encoded(self, blocks: tuple[int, ...], room: tuple[int, ...], depth: int) -> Params:
        if not blocks and "none" in self.places:
            return {self.name: "none"}
        if blocks == room and ("all" in self.places or not room):
            return {self.name: "all" if "all" in self.places else self.places[0]}
        if blocks and blocks == room[len(room) - len(blocks) :] and "suffix" in self.places:
            last = (len(blocks) - 1) * self._deepest // len(room) + 1  # the smallest that does it
            return {self.name: "suffix", f"{self.name}_last": last}
        if "free" not in self.places:
            raise ValueError(f"no `{self.table}.placement` puts it into blocks {list(blocks)}")
        bits = {f"{self.name}_{i}": depth - i in blocks for i in range(1, self._deepest + 1)}
        return {self.name: "free"} | bits

    def _read(self, draft: Draft, blocks: tuple[int, ...]) -> dict[str, Any]:
        """The choices that the parts in these blocks were made from."""
        parts, base = draft.roles[self.role], draft.base(self.role)
        for combination in self._combinations:
            wanted = draft.placed(self.kind, combination, base, 0)
            if all(parts[block] == wanted for block in blocks):
                return combination
        raise ValueError(f"no choice of [{self.table}] makes {parts[blocks[0]]}")

    def count(self, depth: int, start: Shape) -> int:
        if "free" in self.places:
            without, ways = 1, 2**depth - 1
        else:
            without = int("none" in self.places)
            ways = depth if "suffix" in self.places else int("all" in self.places)
        return without + ways * len(self._combinations)

    def _sets(self, room: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The distinct sets of these blocks."""
        if "free" in self.places:
            for size in range(len(room) + 1):
                yield from itertools.combinations(room, size)
            return
        if "none" in self.places:
            yield ()
        if "suffix" in self.places:
            yield from (room[-k:] for k in range(1, len(room) + 1))
        elif "all" in self.places:
            yield room

    def _few(self, room: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The smallest of these sets, and that of all blocks where it takes another's place."""
        place = next(p for p in ("none", "free", "suffix", "all") if p in self.places)
        few = {"none": (), "free": (), "suffix": room[-1:], "all": room}[place]
        yield from dict.fromkeys((few, few if self.is_off() or self.role == "local" else room))

    def every(self, draft: Draft) -> Iterator[Draft]:
        yield from self._each(draft, self._sets)

    def least(self, draft: Draft) -> Iterator[Draft]:
        yield from self._each(draft, self._few)

    def _each(self, draft: Draft, sets: Callable[[Blocks], Iterator[Blocks]]) -> Iterator[Draft]:
        for number, combination in enumerate(self._combinations):
            for blocks in sets(self._room(draft, combination)):
                if blocks or not number:
                    copy = draft.copy()
                    self._put(blocks, combination, copy)
                    yield copy

    def check(self, starts: Mapping[str, Shape]) -> None:
        """Nothing: what a part asks of its shape is asked of every network."""


def _stands(part: Part, shape: Shape) -> bool:
    """Whether it can stand where tokens have that shape."""
    try:
        part.after(shape)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class After(_Bound):
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
        return set(self.stages) != set(range(max(self.stages) + 1))

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
