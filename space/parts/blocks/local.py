"""`Local`: a depth-wise convolution beside a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import odd

if TYPE_CHECKING:
    from torch import nn


def check_grid(shape: Shape, what: str) -> tuple[int, int]:
    """Rows and columns of the tokens. Raises ValueError where their order is lost."""
    if shape.grid is None:
        raise ValueError(
            f"{what} needs tokens on a grid, but the grid of these {shape.tokens} tokens was lost "
            "by a pool or a pruning before it: put it before them, or use conv_pool or merge."
        )
    return shape.grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Part):
    """`block(x) + DWConv(BN(GELU(x)))`: each channel is convolved on the grid, which tells a block
    what stands beside what (arXiv 2407.19394). A class token goes by."""

    kind: ClassVar[str] = "local"
    mark: ClassVar[Mark] = Mark("L", "#2f855a", "#68c793")
    needs_grid: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("kernel_size",)
    placement: ClassVar[Placement] = Among(
        role="local", table="local", choices={"kernel_size": (odd(3, 15), (3,))}
    )
    kernel_size: Annotated[int, odd(3, 15)] = 3

    def after(self, shape: Shape) -> Shape:
        check_grid(shape, "A local branch")
        return shape

    def flops(self, shape: Shape) -> int:
        return self.kernel_size**2 * shape.dim * shape.tokens

    def params(self, shape: Shape) -> int:
        return (self.kernel_size**2 + 1) * shape.dim + 2 * shape.dim

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.local import LocalBranch

        return LocalBranch(self, shape)

    def words(self) -> str:
        return f"local {self.kernel_size}×{self.kernel_size}"

    def features(self, shape: Shape) -> dict[str, float]:
        return {"kernel_size": float(self.kernel_size)}
