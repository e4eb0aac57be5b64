"""`Strided`: strided 3x3 convolutions, the stem of Shuffle Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Part, Shape
from space.parts.stems.patch import patch_grid
from space.rules import LIMITS, flag, integer

if TYPE_CHECKING:
    from torch import nn

STRIDED_CHANS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Strided(Part):
    """A 3x3/2 convolution with BatchNorm and ReLU6 for each halving, of 32 channels, the last of
    width `dim`; then a 1x1 one (arXiv 2106.03650). A class token has no position of its own.

    `positions`: whether tokens have a positional embedding, as the paper's have not.
    """

    kind: ClassVar[str] = "strided"
    places_prefix: ClassVar[bool] = False
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]
    positions: Annotated[bool, flag()] = True

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels behind each strided convolution."""
        return (STRIDED_CHANS,) * (self.patch_size.bit_length() - 2) + (self.dim,)

    def after(self, shape: Shape) -> Shape:
        if self.patch_size < 2 or self.patch_size & (self.patch_size - 1):
            raise ValueError(
                f"`patch_size` (={self.patch_size}) must be 2, 4, 8 or another power of 2 with "
                "`stem` 'strided', which halves the image so often: choose one of them or stem "
                "'patch'."
            )
        grid = patch_grid(shape, self.patch_size)
        return Shape(grid, grid[0] * grid[1], shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        total, chans, pixels = 0, shape.dim, shape.tokens
        for width in self.widths:
            pixels //= 4
            total, chans = total + 9 * chans * width * pixels, width
        return total + self.dim**2 * pixels

    def params(self, shape: Shape) -> int:
        chans = (shape.dim, *self.widths)
        pairs = zip(chans, self.widths, strict=False)
        convs = sum(width * (9 * before + 1) + 2 * width for before, width in pairs)
        return convs + self.dim * (self.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.stems import StridedStem

        return StridedStem(self, in_chans=shape.dim)

    def words(self) -> str:
        unplaced = "" if self.positions else ", no positions"
        return f"strided convolutions {self.patch_size}{unplaced}"
