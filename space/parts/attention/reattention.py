"""`ReAttention`: attention whose maps are mixed across heads (DeepViT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.attention.plain import check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, flag, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReAttention(Part):
    """Maps mixed by a learned H x H matrix and normalised (arXiv 2103.11886, equation 3).

    `scale`: mixed maps times head_dim**-0.5, as in DeepViT-S (transform_scale).
    """

    kind: ClassVar[str] = "reattention"
    mark: ClassVar[Mark] = Mark("R", "#7c3aed", "#a98bf5", "mixed")
    takes_mask: ClassVar[bool] = True
    placement: ClassVar[Placement] = Among(
        role="attention", table="reattention", choices={"scale": (flag(), (False,))}
    )
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    scale: Annotated[bool, flag()] = False

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        return shape

    def flops(self, shape: Shape) -> int:
        n, heads = shape.length, self.num_heads
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim + heads * heads * n)

    def params(self, shape: Shape) -> int:
        mixing = self.num_heads**2 + self.num_heads + 2 * self.num_heads  # 1x1 conv, BatchNorm
        return 4 * shape.dim * (shape.dim + 1) + mixing

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.reattention import ReAttention as Module

        return Module(shape.dim, self.num_heads, scale_maps=self.scale)

    def words(self) -> str:
        return "Re-attention"
