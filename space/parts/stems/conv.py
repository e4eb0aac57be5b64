"""`Conv`: the convolutional stem of DeepViT-S and -L."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Part, Shape
from space.parts.stems.patch import patch_grid
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn

STEM_CHANS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Part):
    """7x7/2 and 3x3 convolutions of 64 channels, then one of half the patch size to width `dim`
    (arXiv 2103.11886, the authors' code)."""

    kind: ClassVar[str] = "conv"
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]

    def after(self, shape: Shape) -> Shape:
        if self.patch_size % 2:
            raise ValueError(
                f"`patch_size` (={self.patch_size}) must be even with `stem` 'conv', which halves "
                "the image first: choose an even patch size or stem 'patch'."
            )
        grid = patch_grid(shape, self.patch_size)
        return Shape(grid, grid[0] * grid[1], shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        assert shape.grid is not None
        half = (shape.grid[0] // 2) ** 2
        convs = (7 * 7 * shape.dim * STEM_CHANS + 3 * 3 * STEM_CHANS * STEM_CHANS) * half
        last = (self.patch_size // 2) ** 2 * STEM_CHANS * self.dim
        return convs + last * self.after(shape).tokens

    def params(self, shape: Shape) -> int:
        convs = 49 * shape.dim * STEM_CHANS + 9 * STEM_CHANS**2 + 2 * 2 * STEM_CHANS
        return convs + self.dim * ((self.patch_size // 2) ** 2 * STEM_CHANS + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.stems import ConvStem

        return ConvStem(self, in_chans=shape.dim)

    def words(self) -> str:
        return f"conv stem {self.patch_size}"
