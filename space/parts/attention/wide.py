"""`Wide`: ViTAS's attention, at a width of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.attention.plain import Plain
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide(Part):
    """Heads of `head_dim` whatever the width of the tokens; logits are scaled by that of a head if
    tokens were split among them, rounded down, as in the authors' code (arXiv 2106.13700)."""

    kind: ClassVar[str] = "wide"
    mark: ClassVar[Mark] = Mark("V", "#3f6f9f", "#8db6df")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,  # where its width is that of the tokens it is plain attention
        table="wide",
        choices={"head_dim": (integer(1, 1024), (64,))},
    )
    feature_names: ClassVar[tuple[str, ...]] = ("width",)
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    head_dim: Annotated[int, integer(1, 1024)]

    @property
    def width(self) -> int:
        """The width at which is attended."""
        return self.num_heads * self.head_dim

    def after(self, shape: Shape) -> Shape:
        if self.num_heads > shape.dim:
            raise ValueError(
                f"`num_heads` (={self.num_heads}) must be at most `embed_dim` (={shape.dim}): "
                "choose fewer heads or wider tokens."
            )
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return 2 * n * self.width * (2 * shape.dim + n)

    def params(self, shape: Shape) -> int:
        return 3 * self.width * (shape.dim + 1) + shape.dim * (self.width + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.wide import WideAttention

        return WideAttention(self, shape)

    def words(self) -> str:
        return f"wide {self.num_heads}×{self.head_dim}"

    def key(self, shape: Shape) -> Any:
        return Plain(num_heads=self.num_heads).key(shape) if self.width == shape.dim else self

    def features(self, shape: Shape) -> dict[str, float]:
        return {"width": self.width / shape.dim}
