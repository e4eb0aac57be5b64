"""`Shared`: attention whose maps serve several blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.attention.plain import Plain, check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared(Part):
    """The first of every `span` blocks of a stage computes the maps, the others use them on values
    of their own (arXiv 2108.03428; no code is public). A map ends with its stage."""

    kind: ClassVar[str] = "shared"
    mark: ClassVar[Mark] = Mark("S", "#5b6bbf", "#9aa7ea")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="shared",
        choices={"span": (integer(2, LIMITS["depth"]), (2,))},
    )
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    span: Annotated[int, integer(2, LIMITS["depth"])] = 2
    reuses: bool = field(init=False, default=False, compare=False)

    def at(self, index: int) -> Shared:
        if not index % self.span:
            return self
        reusing = Shared(num_heads=self.num_heads, span=self.span)
        object.__setattr__(reusing, "reuses", True)
        return reusing

    def after(self, shape: Shape) -> Shape:
        check_heads(shape, self.num_heads)
        return shape

    def flops(self, shape: Shape) -> int:
        n = shape.length
        whole = n * (4 * shape.dim * shape.dim + 2 * n * shape.dim)
        return whole // 2 if self.reuses else whole

    def params(self, shape: Shape) -> int:
        return (2 if self.reuses else 4) * shape.dim * (shape.dim + 1)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.shared import OwningAttention, ReusingAttention

        module = ReusingAttention if self.reuses else OwningAttention
        return module(shape.dim, self.num_heads)

    def words(self) -> str:
        return f"attention shared by {self.span}"

    def key(self, shape: Shape) -> Any:
        return ("reuses", self.num_heads) if self.reuses else Plain(num_heads=self.num_heads)
