"""`L2`: attention by distance."""

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
class L2(Part):
    """Tokens attend to those whose queries are near; queries are keys too (arXiv 2107.04589).

    The paper's spectral norms are left out: they are for a discriminator."""

    kind: ClassVar[str] = "l2"
    mark: ClassVar[Mark] = Mark("G", "#8a6d1f", "#cfae55")
    takes_mask: ClassVar[bool] = True
    placement: ClassVar[Placement] = Among(role="attention", table="l2")
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return n * (3 * shape.dim * shape.dim + 2 * n * shape.dim)

    def params(self, shape: Shape) -> int:
        return 3 * shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.scaled import L2Attention

        return L2Attention(shape.dim, self.num_heads)

    def words(self) -> str:
        return "L2 attention"
