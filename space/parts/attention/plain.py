"""`Plain`: multi-head self-attention over all tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Mark, Part, Shape
from space.rules import LIMITS, integer, nearest_multiple

if TYPE_CHECKING:
    from torch import nn


def check_heads(shape: Shape, num_heads: int) -> None:
    """Raises ValueError unless the width is a multiple of the number of heads."""
    if shape.dim % num_heads:
        raise ValueError(
            f"`embed_dim` (={shape.dim}) must be divisible by `num_heads` (={num_heads}): choose "
            f"embed_dim {nearest_multiple(shape.dim, num_heads)} or another number of heads."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(Part):
    """Multi-head self-attention (arXiv 2010.11929)."""

    kind: ClassVar[str] = "plain"
    mark: ClassVar[Mark] = Mark("", "#a9b5c6", "#5b687c", "plain", "plain block")
    takes_mask: ClassVar[bool] = True
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim)

    def params(self, shape: Shape) -> int:
        return 3 * shape.dim * (shape.dim + 1) + shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.attention import PlainAttention

        return PlainAttention(shape.dim, self.num_heads, qkv_bias=True)
