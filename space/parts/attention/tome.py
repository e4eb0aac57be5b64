"""`ToMe`: attention after which the most alike tokens are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.attention.plain import Plain, check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, MAX_TOKENS, flag, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMe(Part):
    """Between attention and MLP `r` tokens are merged into others (arXiv 2210.09461); half of them
    at most. A class token stays; the grid is lost.

    `proportional`: a token counts in attention as the tokens that it is made of. The paper asks for
    it without training, and leaves it off with.
    """

    kind: ClassVar[str] = "tome"
    mark: ClassVar[Mark] = Mark("T", "#2f7fc1", "#76b5e8")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="tome",
        choices={"r": (integer(1, MAX_TOKENS), (4,)), "proportional": (flag(), (False,))},
    )
    feature_names: ClassVar[tuple[str, ...]] = ("share",)
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    r: Annotated[int, integer(1, MAX_TOKENS)]
    proportional: Annotated[bool, flag()] = False

    def merged(self, shape: Shape) -> int:
        """How many tokens are merged into others."""
        return min(self.r, shape.tokens // 2)

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        merged = self.merged(shape)
        return shape._replace(grid=None, tokens=shape.tokens - merged) if merged else shape

    def changes(self) -> bool:
        return True

    def flops(self, shape: Shape) -> int:
        n, head_dim = shape.length, shape.dim // self.num_heads
        match = (n + 1) // 2 * (n // 2) * head_dim if self.merged(shape) else 0
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim) + match

    def params(self, shape: Shape) -> int:
        return 4 * shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.merging import MergingAttention

        return MergingAttention(self, shape)

    def words(self) -> str:
        return f"ToMe merge {self.r}"

    def key(self, shape: Shape) -> Any:
        merged = self.merged(shape)
        if not merged and not self.proportional:
            return Plain(num_heads=self.num_heads).key(shape)
        return ("tome", self.num_heads, merged, self.proportional)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"share": self.merged(shape) / shape.tokens}
