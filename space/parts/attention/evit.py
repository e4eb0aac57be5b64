"""`EViT`: attention after which the tokens stay that the class token attends to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.attention.plain import Plain, check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, flag, integer, number

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class EViT(Part):
    """Between attention and MLP the share `keep` of the tokens stays to which the class token
    attends most, rounded up (arXiv 2202.07800). The grid is lost.

    `fuse`: the others become one token more, weighted by that attention.
    """

    kind: ClassVar[str] = "evit"
    mark: ClassVar[Mark] = Mark("E", "#b5497a", "#e289b0")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="evit",
        choices={
            "keep": (number(above=0.0, below=1.0), (0.7,)),
            "fuse": (flag(), (True,)),
        },
    )
    feature_names: ClassVar[tuple[str, ...]] = ("keep",)
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    keep: Annotated[float, number(above=0.0, below=1.0)]
    fuse: Annotated[bool, flag()] = True

    def kept(self, shape: Shape) -> int:
        """Number of tokens that stay, the fused one not counted."""
        return math.ceil(self.keep * shape.tokens)

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        if not shape.prefix:
            raise ValueError(
                "EViT needs a class token, whose attention says which tokens stay, but the head is "
                'the mean of all: choose head "token", or ToMe.'
            )
        kept = self.kept(shape)
        if kept == shape.tokens:
            return shape
        return shape._replace(grid=None, tokens=kept + self.fuse)

    def changes(self) -> bool:
        return True

    def flops(self, shape: Shape) -> int:
        n = shape.length
        return n * (4 * shape.dim * shape.dim + 2 * n * shape.dim)

    def params(self, shape: Shape) -> int:
        return 4 * shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.merging import SelectingAttention

        return SelectingAttention(self, shape)

    def words(self) -> str:
        return f"EViT keep {self.keep:.3g}{' and fuse' if self.fuse else ''}"

    def key(self, shape: Shape) -> Any:
        kept = self.kept(shape)
        if kept == shape.tokens:
            return Plain(num_heads=self.num_heads).key(shape)
        return ("evit", self.num_heads, kept, self.fuse)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"keep": self.keep}
