"""`Stage`: equal blocks and what is then done to their tokens, and the `Place` where it stands in a
network. Plain data without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from space.parts import read_part, write_part
from space.parts.part import Part, Shape
from space.rules import LIMITS, check_fields, check_keys, field_names, flag, integer, number, show

Met = tuple[Part, int, Shape]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`depth` equal blocks, and what is then done to their tokens.

    A block is `x + f(LN(r x)) / r` for its attention, then its MLP; r is `residual_scale`
    (DeepViT's scale_adjustment). `layer_scale`: each f times learned factors (CaiT).
    """

    # `local` adds a branch beside attention and MLP. A part that changes the shape inside a block
    # makes a stage of one block.

    depth: Annotated[int, integer(1, LIMITS["depth"])]
    attention: Part
    mlp: Part
    local: Part | None = None
    residual_scale: Annotated[float, number(above=0.0, high=1e6)] = 1.0
    layer_scale: Annotated[bool, flag()] = False
    then: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        usual = self.residual_scale == 1.0 and self.layer_scale is False
        if type(self.depth) is not int or self.depth < 1 or not usual:
            check_fields(self)
        if type(self.then) is not tuple:
            object.__setattr__(self, "then", tuple(self.then))

    def at(self, shape: Shape, first: int) -> Place:
        """The stage where tokens of that shape enter its block of index `first`. Raises ValueError
        if a part cannot stand there."""
        blocks = _blocks(self, shape)
        if self.depth > 1 and blocks.out != shape:
            raise ValueError(
                f"`depth` of a stage must be 1 where its blocks change the tokens ({shape} to "
                f"{blocks.out}), but got {self.depth}: write one stage for each block."
            )
        then: tuple[Met, ...] = ()
        out = blocks.out
        for part in self.then:
            then = (*then, (part, 1, out))
            out = part.after(out)
        return Place(self, first, shape, out, blocks, then)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same stage back."""
        local = {} if self.local is None else {"local": write_part(self.local)}
        return {
            "depth": self.depth,
            "attention": write_part(self.attention),
            "mlp": write_part(self.mlp),
            **local,
            "residual_scale": self.residual_scale,
            **({"layer_scale": True} if self.layer_scale else {}),
            "then": [write_part(part) for part in self.then],
        }

    @classmethod
    def from_dict(cls, values: Any) -> Stage:
        """The stage of plain JSON. Raises ValueError."""
        check_keys("stage", values, field_names(cls), ("depth", "attention", "mlp"))
        then = values.get("then", ())
        if not isinstance(then, (list, tuple)):
            raise ValueError(f"`then` must be a list of parts, but got {show(then)}.")
        parts: dict[str, Any] = {
            role: read_part(role, values[role])
            for role in ("attention", "mlp", "local")
            if values.get(role) is not None
        }
        then = tuple(read_part("part after a stage", part) for part in then)
        return cls(**{**values, **parts, "then": then})


class Blocks(NamedTuple):
    """Blocks of a stage on tokens of one shape: how many are looked at as one, the shape that
    leaves, each part's count and shape. `known`: what was counted once."""

    number: int
    out: Shape
    parts: tuple[Met, ...]
    known: dict[str, Any]


class Place(NamedTuple):
    """A stage where it stands: its first block's index, the shapes before its blocks and after all
    of it, and its parts as tokens meet them, each with count and shape."""

    stage: Stage
    first: int
    shape: Shape
    out: Shape
    blocks: Blocks
    then: tuple[Met, ...]

    @property
    def times(self) -> int:
        """How often `blocks` stand one after the other."""
        return self.stage.depth // self.blocks.number

    @property
    def parts(self) -> tuple[Met, ...]:
        """All of its parts: those of the blocks, then those after them."""
        times = self.times
        return (*((p, times * count, s) for p, count, s in self.blocks.parts), *self.then)


_BLOCKS: dict[Any, tuple[Stage, Blocks]] = {}
MOST_KEPT = 10_000


def _blocks(stage: Stage, shape: Shape) -> Blocks:
    """What its blocks do to tokens of that shape. Raises ValueError if a part cannot stand
    there."""
    # Looked at once for all stages of the same parts: those kept hold their parts, so that their
    # ids are no others'.
    attention, mlp, local = stage.attention, stage.mlp, stage.local
    alike = _is_alike(attention) and _is_alike(mlp) and (local is None or _is_alike(local))
    number = 1 if alike else stage.depth
    key = (number, id(attention), id(mlp), id(local), shape)
    found = _BLOCKS.get(key)
    if found is None:
        if len(_BLOCKS) > MOST_KEPT:
            _BLOCKS.clear()
        found = _BLOCKS[key] = (stage, _walked(stage, shape, number))
    return found[1]


def _walked(stage: Stage, shape: Shape, number: int) -> Blocks:
    met: list[Met] = []
    inside = shape
    if stage.local is not None:
        _meet(met, stage.local, number, shape)
        stage.local.after(shape)
    for part in (stage.attention, stage.mlp):
        _meet(met, part, number, inside)
        inside = part.after(inside)
    if stage.local is not None and inside != shape:
        raise ValueError(
            f"`local` must have the tokens that enter its block, but {stage.attention.kind} makes "
            f"{inside} of {shape}: leave `local` out of that block."
        )
    return Blocks(number, inside, tuple(met), {})


def _is_alike(part: Part) -> bool:
    """Whether all blocks of a stage have the same of it."""
    return type(part).at is Part.at or part.at(1) is part


def _meet(met: list[Met], part: Part, number: int, shape: Shape) -> None:
    if _is_alike(part):
        met.append((part, number, shape))
    else:
        met.extend((part.at(index), 1, shape) for index in range(number))


def block_keys(place: Place) -> list[tuple[Any, ...]]:
    """The keys of the blocks of a stage that are looked at one by one."""
    stage, shape = place.stage, place.shape
    inside = stage.attention.after(shape)
    return [
        (
            stage.attention.at(index).key(shape),
            stage.mlp.at(index).key(inside),
            None if stage.local is None else stage.local.at(index).key(shape),
        )
        for index in range(place.blocks.number)
    ]


def joined(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages with equal neighbours in one, unless something is done between them, or their
    blocks are not alike: those of shared attention begin anew."""
    found: list[Stage] = []
    for stage in stages:
        last = found[-1] if found else None
        if (
            last is not None
            and not last.then
            and not stage.attention.changes()
            and _is_alike(stage.attention)
            and (last.attention is stage.attention or last.attention == stage.attention)
            and (last.mlp is stage.mlp or last.mlp == stage.mlp)
            and last.local == stage.local
            and last.residual_scale == stage.residual_scale
            and last.layer_scale == stage.layer_scale
        ):
            found[-1] = dataclasses.replace(stage, depth=last.depth + stage.depth)
        else:
            found.append(stage)
    return tuple(found)
