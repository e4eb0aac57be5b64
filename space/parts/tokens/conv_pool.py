"""`ConvPool`: PiT's pool, a strided convolution on the grid after which tokens are wider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from space.parts.blocks.local import check_grid
from space.parts.part import Mark, Part, Shape, Shapes
from space.placements import After, Placement
from space.rules import LIMITS, integer, number

if TYPE_CHECKING:
    from torch import nn

GROWTH = number(low=1.0, high=4.0)


def grown(dim: int, growth: float, divisor: int) -> int:
    """The multiple of `divisor`, at least one, that is nearest to `growth` times the width."""
    return max(divisor, int(dim * growth / divisor + 0.5) * divisor)


def halved(shape: Shape, dim: int, what: str) -> Shape:
    """The shape of half as many rows and columns, rounded up, of width `dim`. Raises ValueError."""
    rows, columns = check_grid(shape, what)
    if shape.tokens < 2:
        raise ValueError(f"{what} must have 2 tokens or more, but 1 enters it: use fewer of them.")
    integer(1, LIMITS["embed_dim"]).check("embed_dim", dim, fix="let the width grow less")
    grid = (-(-rows // 2), -(-columns // 2))
    return Shape(grid, grid[0] * grid[1], shape.prefix, dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvPool(Part):
    """A 3x3/2 convolution to `growth` times the width, rounded to a multiple of `divisor`
    (arXiv 2103.16302): depth-wise where the width is a multiple of that before, else dense.

    A class token goes by, through a linear layer where the width changes."""

    kind: ClassVar[str] = "conv_pool"
    mark: ClassVar[Mark] = Mark("", "#2563a8", "#7db0e8", words="tokens pooled on the grid")
    needs_grid: ClassVar[bool] = True
    widens: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("growth",)
    placement: ClassVar[Placement] = After(
        table="conv_pool", choices={"growth": (GROWTH, (2.0,))}, between=True
    )
    growth: Annotated[float, GROWTH] = 2.0
    divisor: Annotated[int, integer(1, LIMITS["embed_dim"])] = 1

    def width(self, dim: int) -> int:
        """Width of the tokens that leave it."""
        return grown(dim, self.growth, self.divisor)

    def groups(self, dim: int) -> int:
        """Of its convolution: one for each channel, or 1 where that cannot be."""
        return 1 if self.width(dim) % dim else dim

    def after(self, shape: Shape) -> Shape:
        return halved(shape, self.width(shape.dim), "A convolutional pool")

    def flops(self, shape: Shape) -> int:
        dim, out = shape.dim, self.after(shape)
        conv = 9 * dim // self.groups(dim) * out.dim * out.tokens
        return conv + (shape.prefix * dim * out.dim if out.dim != dim else 0)

    def params(self, shape: Shape) -> int:
        dim, out = shape.dim, self.width(shape.dim)
        linear = out * (dim + 1) if shape.prefix and out != dim else 0
        return out * (9 * dim // self.groups(dim) + 1) + linear

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.conv_pool import GridPool

        return GridPool(self, shape)

    def words(self) -> str:
        return f"conv 3/2 ×{self.growth:g}"

    def key(self, shape: Shape) -> Any:
        return ("conv_pool", self.width(shape.dim))

    def features(self, shape: Shape) -> dict[str, float]:
        return {"growth": self.width(shape.dim) / shape.dim}

    @classmethod
    def placed(cls, choices: Mapping[str, Any], before: Part | None, shapes: Shapes) -> Self:
        """The width stays a multiple of a head's, so that heads grow with it."""
        return cls(**choices, divisor=shapes.head_dim)
