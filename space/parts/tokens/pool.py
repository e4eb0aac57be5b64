"""`Pool`: HVT's pooling of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.part import Mark, Part, Shape
from space.placements import After, Placement
from space.rules import MAX_TOKENS, integer, one_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Part):
    """`kernel_size`/`stride` over the tokens in raster order, no padding, then a new positional
    embedding (arXiv 2103.10619, section 3.2). A class token goes by; the grid is lost."""

    kind: ClassVar[str] = "pool"
    mark: ClassVar[Mark] = Mark("", "#e2a33c", "#d99a36", "pool", "tokens pooled")
    placement: ClassVar[Placement] = After(
        table="pooling",
        choices={
            "kernel_size": (integer(1, MAX_TOKENS), (3,)),
            "stride": (integer(1, MAX_TOKENS), (2,)),
            "op": (one_of("max", "avg"), ("max",)),
        },
    )
    kernel_size: Annotated[int, integer(1, MAX_TOKENS)] = 3
    stride: Annotated[int, integer(1, MAX_TOKENS)] = 2
    op: Annotated[str, one_of("max", "avg")] = "max"

    def tokens_after(self, tokens: int) -> int:
        """Number of tokens that leave the pool when `tokens` enter it; below 1 if none do."""
        return (tokens - self.kernel_size) // self.stride + 1

    def after(self, shape: Shape) -> Shape:
        left = self.tokens_after(shape.tokens)
        if not 1 <= left < shape.tokens:
            raise ValueError(
                f"A pool must leave at least 1 and fewer tokens than enter it, but a pool "
                f"(kernel_size={self.kernel_size}, stride={self.stride}) makes {max(left, 0)} of "
                f"{shape.tokens} tokens: use fewer pools, a smaller kernel_size or a smaller "
                "patch_size."
            )
        return Shape(None, left, shape.prefix, shape.dim)

    def flops(self, shape: Shape) -> int:
        return 0

    def params(self, shape: Shape) -> int:
        return shape.dim * (self.tokens_after(shape.tokens) + shape.prefix)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.pool import TokenPool

        return TokenPool(self, shape)

    def words(self) -> str:
        return f"{self.op} {self.kernel_size}/{self.stride}"

    def key(self, shape: Shape) -> Any:
        """A stride matters only if two windows fit, the operation only if one holds two tokens."""
        stride = self.stride if self.tokens_after(shape.tokens) > 1 else 0
        return ("pool", self.kernel_size, stride, self.op if self.kernel_size > 1 else "max")
