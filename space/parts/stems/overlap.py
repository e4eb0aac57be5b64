"""`Overlap`: patches that overlap, one convolution whose kernel is larger than its stride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.part import Part, Shape
from space.parts.stems.patch import patch_grid
from space.rules import LIMITS, flag, integer, optional

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap(Part):
    """Patches of `kernel_size` pixels (default: twice the stride) every `patch_size` pixels, over
    the edge by `padding`: none in PiT (arXiv 2103.16302). A class token has no position of its own.

    `positions`: whether tokens have a positional embedding, as all but MViTv2's.
    """

    kind: ClassVar[str] = "overlap"
    places_prefix: ClassVar[bool] = False
    feature_names: ClassVar[tuple[str, ...]] = ("overlap",)
    patch_size: Annotated[int, integer(1, LIMITS["patch_size"])]
    dim: Annotated[int, integer(1, LIMITS["embed_dim"])]
    kernel_size: Annotated[int | None, optional(integer(2, LIMITS["img_size"]))] = None
    padding: Annotated[int, integer(0, LIMITS["patch_size"])] = 0
    positions: Annotated[bool, flag()] = True

    @property
    def kernel(self) -> int:
        """Width of the kernel in pixels."""
        return self.kernel_size or 2 * self.patch_size

    def after(self, shape: Shape) -> Shape:
        rows, _ = patch_grid(shape, self.patch_size)
        img_size = rows * self.patch_size
        if not self.patch_size < self.kernel <= img_size:
            raise ValueError(
                f"`kernel_size` (={self.kernel}) must be above `patch_size` (={self.patch_size}, "
                f"its stride) and at most `img_size` (={img_size}) with `stem` 'overlap': choose "
                "another, or stem 'patch'."
            )
        if self.padding >= self.kernel:
            raise ValueError(
                f"`padding` (={self.padding}) must be below `kernel_size` (={self.kernel}), "
                "so that no patch lies outside of the image: choose a smaller one."
            )
        side = (img_size + 2 * self.padding - self.kernel) // self.patch_size + 1
        return Shape((side, side), side * side, shape.prefix, self.dim)

    def flops(self, shape: Shape) -> int:
        return self.kernel**2 * shape.dim * self.dim * self.after(shape).tokens

    def params(self, shape: Shape) -> int:
        return self.dim * (self.kernel**2 * shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.stems import OverlapStem

        return OverlapStem(self, in_chans=shape.dim)

    def words(self) -> str:
        edge = f" over the edge by {self.padding}" if self.padding else ""
        unplaced = "" if self.positions else ", no positions"
        return f"overlapping patches {self.kernel}/{self.patch_size}{edge}{unplaced}"

    def key(self, shape: Shape) -> Any:
        usual = not self.padding and self.positions
        more = () if usual else (self.padding, self.positions)
        return ("overlap", self.patch_size, self.kernel, self.dim, *more)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"overlap": self.kernel / self.patch_size}
