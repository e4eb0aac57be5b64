"""`Patch`: ViT's stem, one linear layer on patches that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Part, Shape
from space.rules import LIMITS, MAX_TOKENS, integer, nearest_multiple

if TYPE_CHECKING:
    from torch import nn


def patch_grid(shape: Shape, patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches of an image. Raises ValueError."""
    assert shape.grid is not None
    img_size = shape.grid[0]
    if img_size % patch_size:
        raise ValueError(
            f"`img_size` (={img_size}) must be divisible by `patch_size` (={patch_size}): choose "
            f"img_size {nearest_multiple(img_size, patch_size)} or another patch size."
        )
    grid = img_size // patch_size
    if grid * grid > MAX_TOKENS:
        raise ValueError(
            f"(img_size / patch_size)**2 (={grid * grid} tokens) must be at most {MAX_TOKENS}: "
            f"choose a larger patch_size than {patch_size}."
        )
    return grid, grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch(Part):
    """Patches of `patch_size` x `patch_size` pixels, each one token of width `dim`."""

    kind: ClassVar[str] = "patch"
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]

    def after(self, shape: Shape) -> Shape:
        grid = patch_grid(shape, self.patch_size)
        return Shape(grid, grid[0] * grid[1], shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        return self.patch_size**2 * shape.dim * self.dim * self.after(shape).tokens

    def params(self, shape: Shape) -> int:
        return self.dim * (self.patch_size**2 * shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from timm.layers import PatchEmbed

        assert shape.grid is not None
        return PatchEmbed(shape.grid[0], self.patch_size, shape.dim, self.dim)

    def words(self) -> str:
        return f"patch {self.patch_size}"
