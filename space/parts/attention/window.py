"""`Window`: attention within windows of the grid."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from space.parts.attention.plain import check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, Rule, integer, one_of

if TYPE_CHECKING:
    from torch import nn

GAZE = Rule("0 or an odd integer from 3 to 7", lambda x: type(x) is int and x in (0, 3, 5, 7))
DILATIONS = one_of("no", "yes", "alternate")
Windowed = TypeVar("Windowed", bound=Any)


def dilated_at(part: Windowed, index: int) -> Windowed:
    """The part of that block in its stage, where every second one is dilated."""
    if part.dilate != "alternate":
        return part
    other: Windowed = dataclasses.replace(part, dilate="yes" if index % 2 else "no")
    return other


def dilated_words(dilate: str) -> str:
    """How its windows lie, for people."""
    return {"no": "", "yes": " dilated", "alternate": " dilated in turn"}[dilate]


def check_windows(shape: Shape, num_heads: int, size: int) -> None:
    """Raises ValueError where tokens cannot be in windows."""
    check_heads(shape, num_heads)
    if shape.prefix:
        raise ValueError(
            f"Windows leave no place for the {shape.prefix} class token beside them: choose "
            'head "avg", or another kind of attention.'
        )
    if shape.grid is None:
        raise ValueError(
            f"Windows need a grid, but that of these {shape.tokens} tokens is lost: put them "
            "before what loses the grid."
        )
    if any(side % size for side in shape.grid):
        common = math.gcd(*shape.grid)
        sizes = [size for size in range(2, common + 1) if not common % size]
        raise ValueError(
            f"`size` (={size}) of a window must divide the grid {shape.grid}: choose "
            f"{f'one of {sizes}' if sizes else 'another patch_size'}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Part):
    """Tokens attend within windows of `size` x `size`, with a bias for each relative place.

    `dilate`: "yes" spreads a window over the whole grid, "alternate" does so in every second block
    (Shuffle Transformer, arXiv 2106.03650). `gaze`: kernel of a depth-wise convolution of the
    values (Glance-and-Gaze, arXiv 2106.02277; no code is public), 0 for none.
    """

    kind: ClassVar[str] = "window"
    mark: ClassVar[Mark] = Mark("W", "#2b8a5a", "#6fcf9c")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="window",
        choices={
            "size": (integer(1, 64), (4,)),
            "dilate": (DILATIONS, ("alternate",)),
            "gaze": (GAZE, (0,)),
        },
    )
    feature_names: ClassVar[tuple[str, ...]] = ("share", "gaze")
    qkv_bias: ClassVar[bool] = True
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    size: Annotated[int, integer(1, 64)]
    dilate: Annotated[str, DILATIONS] = "no"
    gaze: Annotated[int, GAZE] = 0

    def at(self, index: int) -> Window:
        return dilated_at(self, index)

    def after(self, shape: Shape) -> Shape:
        check_windows(shape, self.num_heads, self.size)
        return shape

    def flops(self, shape: Shape) -> int:
        mixing = 2 * self.size**2 + self.gaze**2
        return shape.tokens * shape.dim * (4 * shape.dim + mixing)

    def params(self, shape: Shape) -> int:
        branch = shape.dim * (self.gaze**2 + 1) if self.gaze else 0
        table = (2 * self.size - 1) ** 2 * self.num_heads
        return 4 * shape.dim * (shape.dim + 1) + table + branch

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.windows import WindowAttention

        return WindowAttention(self, shape)

    def words(self) -> str:
        dilated = dilated_words(self.dilate)
        return f"windows {self.size}{dilated}{f' gaze {self.gaze}' if self.gaze else ''}"

    def features(self, shape: Shape) -> dict[str, float]:
        return {"share": self.size**2 / shape.tokens, "gaze": float(self.gaze)}
