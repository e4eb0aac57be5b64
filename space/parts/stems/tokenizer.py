"""`Tokenizer`: CCT's stem of 3x3 convolutions and poolings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.part import Part, Shape
from space.parts.stems.patch import patch_grid
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer(Part):
    """One or two 3x3 convolutions, each with ReLU and 3x3/2 max-pooling (arXiv 2104.05704):
    `patch_size` is 2 or 4, its stride in all. The first of two has `width` channels. A class token
    has no position of its own."""

    kind: ClassVar[str] = "tokenizer"
    places_prefix: ClassVar[bool] = False
    feature_names: ClassVar[tuple[str, ...]] = ("width",)
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]
    width: Annotated[int, integer(1, LIMITS["embed_dim"])] = 64

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels behind each convolution."""
        return (self.dim,) if self.patch_size == 2 else (self.width, self.dim)

    def after(self, shape: Shape) -> Shape:
        if self.patch_size not in (2, 4):
            raise ValueError(
                f"`patch_size` (={self.patch_size}) must be 2 or 4 with `stem` 'tokenizer', of one "
                "or two poolings: choose one of them or another stem."
            )
        grid = patch_grid(shape, self.patch_size)
        return Shape(grid, grid[0] * grid[1], shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        total, chans, pixels = 0, shape.dim, shape.tokens
        for width in self.widths:
            total, chans, pixels = total + 9 * chans * width * pixels, width, pixels // 4
        return total

    def params(self, shape: Shape) -> int:
        chans = (shape.dim, *self.widths)
        return sum(9 * before * width for before, width in zip(chans, self.widths, strict=False))

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.stems import ConvTokenizer

        return ConvTokenizer(self, in_chans=shape.dim)

    def words(self) -> str:
        first = f", {self.width} channels first" if self.patch_size == 4 else ""
        return f"conv tokenizer {self.patch_size}{first}"

    def key(self, shape: Shape) -> Any:
        return ("tokenizer", self.patch_size, self.widths)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"width": self.widths[0] / self.dim}
