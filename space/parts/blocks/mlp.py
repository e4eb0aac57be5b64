"""`Mlp`: the two linear layers of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.part import Part, Shape
from space.rules import number

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp(Part):
    """Two linear layers with GELU; the hidden one is `ratio` times as wide, rounded down."""

    kind: ClassVar[str] = "mlp"
    ratio: Annotated[float, number(above=0.0, high=64.0)] = 4.0

    def hidden(self, dim: int) -> int:
        """Width of the hidden layer, as timm rounds it."""
        return int(dim * self.ratio)

    def after(self, shape: Shape) -> Shape:
        if self.hidden(shape.dim) < 1:
            raise ValueError(
                f"`embed_dim * mlp_ratio` (={shape.dim} * {self.ratio}) must be at least 1: choose "
                "a larger mlp_ratio."
            )
        return shape

    def flops(self, shape: Shape) -> int:
        return 2 * shape.length * shape.dim * int(shape.dim * self.ratio)

    def params(self, shape: Shape) -> int:
        hidden = self.hidden(shape.dim)
        return hidden * (shape.dim + 1) + shape.dim * (hidden + 1)

    def build(self, shape: Shape) -> nn.Module:
        from timm.layers import Mlp as Module

        return Module(shape.dim, self.hidden(shape.dim))

    def words(self) -> str:
        return f"MLP ×{self.ratio:g}"

    def key(self, shape: Shape) -> Any:
        return ("mlp", self.hidden(shape.dim))
