"""`LSA`: attention with learned temperatures that leaves a token itself out."""

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
class LSA(Part):
    """Locality self-attention: each head learns its scale, and no token attends to itself
    (arXiv 2112.13492)."""

    kind: ClassVar[str] = "lsa"
    mark: ClassVar[Mark] = Mark("Q", "#4f8a2f", "#93c96f")
    placement: ClassVar[Placement] = Among(role="attention", anywhere=False, table="lsa")
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim)

    def params(self, shape: Shape) -> int:
        return 4 * shape.dim * (shape.dim + 1) + self.num_heads

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.scaled import LocalitySelfAttention

        return LocalitySelfAttention(shape.dim, self.num_heads)

    def words(self) -> str:
        return "LSA"
