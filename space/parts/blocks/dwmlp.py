"""`DwMlp`: an MLP with a depth-wise convolution between its two layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from space.parts.blocks.local import check_grid
from space.parts.blocks.mlp import Mlp
from space.parts.part import Mark, Shape
from space.placements import Among, Placement
from space.rules import flag

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class DwMlp(Mlp):
    """A 3x3 depth-wise convolution of the hidden tokens on their grid: PVTv2's (arXiv 2106.13797),
    or with `norm` RVT's, with BatchNorm behind each layer (arXiv 2105.07926). A class token is not
    convolved."""

    kind: ClassVar[str] = "dwmlp"
    mark: ClassVar[Mark] = Mark("D", "#0f766e", "#4fb8ad")
    needs_grid: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("norm",)
    placement: ClassVar[Placement] = Among(
        role="mlp", table="dwmlp", choices={"norm": (flag(), (False,))}
    )
    norm: Annotated[bool, flag()] = False

    def after(self, shape: Shape) -> Shape:
        check_grid(shape, "An MLP with a convolution")
        return Mlp.after(self, shape)

    def flops(self, shape: Shape) -> int:
        return Mlp.flops(self, shape) + 9 * self.hidden(shape.dim) * shape.tokens

    def params(self, shape: Shape) -> int:
        hidden = self.hidden(shape.dim)
        norms = 2 * (2 * hidden + shape.dim) if self.norm else 0
        return Mlp.params(self, shape) + 10 * hidden + norms

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.local import DepthwiseMlp

        return DepthwiseMlp(self, shape)

    def words(self) -> str:
        return f"conv MLP ×{self.ratio:g}" + (" normed" if self.norm else "")

    def key(self, shape: Shape) -> Any:
        return ("dwmlp", self.hidden(shape.dim), self.norm)

    def features(self, shape: Shape) -> dict[str, float]:
        return {"norm": float(self.norm)}
