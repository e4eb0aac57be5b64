"""`RVT`: the stem of Robust Vision Transformers, two convolutions with a pooling between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Part, Shape
from space.parts.stems.patch import patch_grid
from space.rules import LIMITS, flag, integer

if TYPE_CHECKING:
    from torch import nn

RVT_CHANS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RVT(Part):
    """A 7x7/2 convolution to 32 channels, BatchNorm and 3x3/2 max-pooling, then patches of a
    quarter of `patch_size` (arXiv 2105.07926). A class token has no position of its own.

    `positions`: whether tokens have a positional embedding, as the paper's have not.
    """

    kind: ClassVar[str] = "rvt"
    places_prefix: ClassVar[bool] = False
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]
    positions: Annotated[bool, flag()] = True

    def after(self, shape: Shape) -> Shape:
        if self.patch_size % 4:
            raise ValueError(
                f"`patch_size` (={self.patch_size}) must be a multiple of 4 with `stem` 'rvt', "
                "which halves the image twice first: choose another or stem 'patch'."
            )
        grid = patch_grid(shape, self.patch_size)
        return Shape(grid, grid[0] * grid[1], shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        assert shape.grid is not None
        half = (shape.grid[0] // 2 - 1) ** 2  # a padding of 2 is one pixel short
        last = (self.patch_size // 4) ** 2 * RVT_CHANS * self.dim
        return 7 * 7 * shape.dim * RVT_CHANS * half + last * self.after(shape).tokens

    def params(self, shape: Shape) -> int:
        first = RVT_CHANS * (7 * 7 * shape.dim + 1) + 2 * RVT_CHANS
        return first + self.dim * ((self.patch_size // 4) ** 2 * RVT_CHANS + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.stems import RVTStem

        return RVTStem(self, in_chans=shape.dim)

    def words(self) -> str:
        return f"RVT stem {self.patch_size}{'' if self.positions else ', no positions'}"
