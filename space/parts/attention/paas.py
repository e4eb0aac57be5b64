"""`PAAS`: attention whose logits are scaled by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.attention.plain import check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class PAAS(Part):
    """Position-aware attention scaling: a learned factor for every pair of places and head
    (arXiv 2105.07926). A class token has a place too, which the paper has none for."""

    kind: ClassVar[str] = "paas"
    mark: ClassVar[Mark] = Mark("P", "#1f7a8a", "#5fb8c8")
    placement: ClassVar[Placement] = Among(role="attention", anywhere=False, table="paas")
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        if shape.grid is None:
            raise ValueError(
                f"Position-aware scaling needs tokens whose place is known, but the grid of these "
                f"{shape.tokens} tokens is lost: put it before what loses the grid."
            )
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim)

    def params(self, shape: Shape) -> int:
        return 4 * shape.dim * (shape.dim + 1) + self.num_heads * shape.length**2

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.scaled import PositionScaledAttention

        return PositionScaledAttention(shape.dim, self.num_heads, shape.length)

    def words(self) -> str:
        return "position-aware scaling"
