"""How many networks a search space has, each of them once, and those of least cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from space.choosing import PER_BLOCK

if TYPE_CHECKING:
    from space.architecture import Architecture
    from space.draft import Draft
    from space.placements import Placement
    from space.search_space import SearchSpace

COUNTED = 1_000_000  # so many at most are counted of a space whose placements meddle


def size(space: SearchSpace) -> int:
    """The number of distinct networks; where kinds meddle in over `COUNTED` combinations, the
    number of these."""
    s = space
    per_depth = (
        len(s.rules_of(depth))
        * _columns(s, depth)
        * sum(math.prod(p.count(depth, start) for p in s.placements) for start in s.starts)
        for depth in s.depth
    )
    most = sum(per_depth) * len(s.head) * len(s.residual_scale)
    if _is_independent(s) or most > COUNTED:
        return most
    return sum(1 for _ in networks(s))


def _columns(space: SearchSpace, depth: int) -> int:
    """How many plain networks of that depth there are, by width, heads and MLP ratios."""
    own = space.per_block or ()
    heads, ratios = (depth if field in own else 1 for field in PER_BLOCK)
    return sum(
        len(_ratios(space, dim)) ** ratios * len(space.heads_of(dim)) ** heads
        for dim in space.embed_dim
    )


def networks(space: SearchSpace) -> Iterator[Architecture]:
    """Every distinct network once."""
    s, independent = space, _is_independent(space)
    shapes = itertools.product(s.grids, s.embed_dim, s.depth, s.head, s.residual_scale)
    seen: set[Hashable] = set()
    for grid, dim, depth, head, residual in shapes:
        ratios = _ratios(s, dim)
        rest = itertools.product(
            s.ways("num_heads", s.heads_of(dim), depth),
            s.ways("mlp_ratio", (ratios[hidden] for hidden in sorted(ratios)), depth),
            s.rules_of(depth).values(),
        )
        for heads, own, keep in rest:
            draft = s.draft(grid, dim, heads, own, head, residual_scale=residual, keep=keep)
            for full in _every(draft, s.in_turn):
                if independent:
                    yield full.architecture()
                elif full.is_possible() and (a := full.architecture()).key() not in seen:
                    seen.add(a.key())
                    yield a


def least_networks(space: SearchSpace) -> Iterator[Architecture]:
    """Networks among which are that of fewest FLOPs and, within every budget, that of fewest
    parameters: of least width, every grid, and of each placement what may cost least."""
    wider_first = tuple(sorted(space.in_turn, key=lambda placement: not placement.kind.widens))
    for depth in _least_depths(space.depth, wider_first):
        for draft in _cheapest(narrowest(space, depth)):
            yield from _least(draft, wider_first)


def _least_depths(depths: tuple[int, ...], placements: tuple[Placement, ...]) -> list[int]:
    """Depths of which a network of least cost has one."""
    # Where no placement is forced, the first blocks of a network are one that costs less. Else a
    # block that no part stands after can be left out, unless it matters which blocks stay.
    depths = tuple(sorted(depths))
    if not any(placement.is_forced() for placement in placements):
        return [depths[0]]
    slots = [placement.slots() for placement in placements]
    if None in slots:
        return list(depths)
    needed = sum(slot for slot in slots if slot) + 1
    enough = next((depth for depth in depths if depth >= needed), depths[-1])
    return [depth for depth in depths if depth <= enough]


def _cheapest(drafts: Iterable[Draft]) -> list[Draft]:
    """Of those that begin with equal tokens and as many heads the one of cheapest stem."""
    found: dict[Hashable, tuple[tuple[int, int], Draft]] = {}
    for draft in drafts:
        cost = (draft.stem.flops(draft.image_shape), draft.stem.params(draft.image_shape))
        key = (draft.start, draft.head_dim, draft.image["head"])
        if key not in found or cost < found[key][0]:
            found[key] = (cost, draft)
    return [draft for _, draft in found.values()]


def narrowest(space: SearchSpace, depth: int) -> Iterator[Draft]:
    """The narrowest plain networks of that depth, one for every grid and head."""
    dim = min(space.embed_dim)
    every = space.heads_of(dim)
    few = every if _is_widened(space) else (min(every),)  # heads decide how widths are rounded
    for grid, head, heads in itertools.product(space.grids, space.head, few):
        yield space.draft(grid, dim, (heads,) * depth, (min(space.mlp_ratio),) * depth, head)


def _is_widened(space: SearchSpace) -> bool:
    return any(placement.kind.widens for placement in space.in_turn)


def _is_independent(space: SearchSpace) -> bool:
    """Whether no placement's ways depend on those of another."""
    roles = [getattr(placement, "role", "tokens") for placement in space.in_turn]
    meddles = "tokens" in roles and any(p.kind.needs_grid for p in space.in_turn)
    anywhere = all(getattr(placement, "anywhere", True) for placement in space.in_turn)
    return len(set(roles)) == len(roles) and anywhere and not meddles


def _ratios(space: SearchSpace, dim: int) -> dict[float, float]:
    """A ratio for every width of an MLP; all of them where tokens grow wider."""
    ratios, is_widened = reversed(space.mlp_ratio), _is_widened(space)
    return {ratio if is_widened else int(dim * ratio): ratio for ratio in ratios}


def _every(draft: Draft, placements: tuple[Placement, ...]) -> Iterator[Draft]:
    if not placements:
        yield draft
        return
    with suppress(ValueError):  # what is there already leaves no grid for it
        for other in placements[0].every(draft):
            yield from _every(other, placements[1:])


def _least(draft: Draft, placements: tuple[Placement, ...]) -> Iterator[Architecture]:
    if not placements:
        with suppress(ValueError):  # where a part cannot stand
            yield draft.architecture()
        return
    try:
        others = list(placements[0].least(draft))
    except ValueError:  # what is there already leaves no grid for it
        return
    for other in others:
        yield from _least(other, placements[1:])
