"""`Relative`: AutoFormer's attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative(Part):
    """Heads of `head_dim` whatever the width of the tokens, and relative positions on keys and
    values, up to `reach` rows and columns away (arXiv 2107.00651)."""

    kind: ClassVar[str] = "relative"
    mark: ClassVar[Mark] = Mark("A", "#a33b3b", "#e08a8a")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="relative",
        choices={
            "head_dim": (integer(1, 1024), (64,)),
            "reach": (integer(1, 1024), (14,)),
        },
    )
    feature_names: ClassVar[tuple[str, ...]] = ("width",)
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    head_dim: Annotated[int, integer(1, 1024)] = 64
    reach: Annotated[int, integer(1, 1024)] = 14

    @property
    def width(self) -> int:
        """The width at which is attended."""
        return self.num_heads * self.head_dim

    def after(self, shape: Shape) -> Shape:
        if shape.grid is None:
            raise ValueError(
                f"Relative positions need a grid, but that of these {shape.tokens} tokens is lost: "
                "put them before what loses the grid."
            )
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return 4 * n * self.width * (shape.dim + n)

    def params(self, shape: Shape) -> int:
        tables = 4 * (2 * self.reach + 2) * self.head_dim
        return 3 * self.width * (shape.dim + 1) + shape.dim * (self.width + 1) + tables

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.relative import RelativeAttention

        return RelativeAttention(self, shape)

    def words(self) -> str:
        return f"relative {self.num_heads}×{self.head_dim}"

    def features(self, shape: Shape) -> dict[str, float]:
        return {"width": self.width / shape.dim}
