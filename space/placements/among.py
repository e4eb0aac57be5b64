"""`Among`: which of the blocks are of a kind. It knows no kind."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from space.choosing import checked_choices
from space.placements.placement import Blocks, Bound, Params
from space.rules import one_of

if TYPE_CHECKING:
    from space.draft import Draft
    from space.parts.part import Part, Shape

PLACES = ("none", "all", "suffix", "free")


@dataclass(frozen=True, kw_only=True)
class Among(Bound):
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
        parts = draft.roles[self.role]
        for combination in self._combinations:
            if all(
                parts[block]
                == draft.placed(self.kind, combination, draft.base(self.role, block), 0)
                for block in blocks
            ):
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

    def _few(self, room: Blocks) -> Iterator[Blocks]:
        """Sets of these blocks among which is that of least cost: the smallest, that of all blocks
        where it takes another's place, and of a kind that may change the tokens every number of
        blocks, the earliest that its places allow."""
        place = next(p for p in ("none", "free", "suffix", "all") if p in self.places)
        few = {"none": (), "free": (), "suffix": room[-1:], "all": room}[place]
        if self.is_off() or self.role == "local":
            yield few
            return
        some: list[Blocks] = []
        if not self.anywhere and "free" in self.places:
            some = [room[:count] for count in range(1, len(room))]
        elif not self.anywhere and "suffix" in self.places:
            some = [room[-count:] for count in range(1, len(room))]
        yield from dict.fromkeys((few, *some, room))

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
