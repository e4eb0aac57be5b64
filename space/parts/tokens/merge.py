"""`Merge`: patch merging, 2 x 2 tokens become one wider one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from space.parts.part import Mark, Part, Shape, Shapes
from space.parts.tokens.conv_pool import GROWTH, grown, halved
from space.placements import After, Placement
from space.rules import LIMITS, integer, one_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Part):
    """2 x 2 tokens side by side, then a linear layer without bias to `growth` times the width,
    rounded to a multiple of `divisor`. An odd grid is filled up with zeros.

    `norm`: "layer" before that layer (Swin, arXiv 2103.14030), or "batch" before tokens are put
    side by side (Shuffle, arXiv 2106.03650). A class token goes by, by a linear layer if wider.
    """

    kind: ClassVar[str] = "merge"
    mark: ClassVar[Mark] = Mark("", "#8a6d3b", "#cfb27c", words="tokens merged")
    needs_grid: ClassVar[bool] = True
    widens: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("growth", "batch")
    placement: ClassVar[Placement] = After(
        table="merge",
        choices={"growth": (GROWTH, (2.0,)), "norm": (one_of("layer", "batch"), ("layer",))},
        between=True,
    )
    growth: Annotated[float, GROWTH] = 2.0
    divisor: Annotated[int, integer(1, LIMITS["embed_dim"])] = 1
    norm: Annotated[str, one_of("layer", "batch")] = "layer"

    def width(self, dim: int) -> int:
        """Width of the tokens that leave it."""
        return grown(dim, self.growth, self.divisor)

    def after(self, shape: Shape) -> Shape:
        return halved(shape, self.width(shape.dim), "A merging")

    def flops(self, shape: Shape) -> int:
        dim, out = shape.dim, self.after(shape)
        prefix = shape.prefix * dim * out.dim if out.dim != dim else 0
        return 4 * dim * out.dim * out.tokens + prefix

    def params(self, shape: Shape) -> int:
        dim, out = shape.dim, self.width(shape.dim)
        linear = out * (dim + 1) if shape.prefix and out != dim else 0
        return 4 * dim * out + (8 if self.norm == "layer" else 2) * dim + linear

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.conv_pool import PatchMerging

        return PatchMerging(self, shape)

    def words(self) -> str:
        return f"merge 2×2 ×{self.growth:g}" + (" BN" if self.norm == "batch" else "")

    def key(self, shape: Shape) -> Any:
        return ("merge", self.width(shape.dim), self.norm)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"growth": self.width(shape.dim) / shape.dim, "batch": float(self.norm == "batch")}

    @classmethod
    def placed(cls, choices: Mapping[str, Any], before: Part | None, shapes: Shapes) -> Self:
        """The width stays a multiple of a head's, so that heads grow with it."""
        return cls(**choices, divisor=shapes.head_dim)
