"""`Pooled`: attention over pooled queries, keys and values (MViT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from space.parts.attention.plain import check_heads
from space.parts.part import Mark, Part, Shape
from space.placements import Among, Placement
from space.rules import LIMITS, integer, one_of

if TYPE_CHECKING:
    from torch import nn

Grid = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled(Part):
    """Queries, keys and values are pooled on the grid before they meet (arXiv 2104.11227).

    `q_stride` 2 leaves a quarter of the tokens, `growth` times as wide. `version` 2 pools at stride
    1 too and has relative positions and residual pooling (arXiv 2112.01526).
    """

    kind: ClassVar[str] = "pooled"
    mark: ClassVar[Mark] = Mark("M", "#b0622a", "#e6a070")
    placement: ClassVar[Placement] = Among(
        role="attention",
        anywhere=False,
        table="pooled",
        choices={
            "q_stride": (integer(1, 2), (1,)),
            "kv_stride": (integer(1, 16), (2,)),
            "growth": (integer(1, 4), (1,)),
            "mode": (one_of("conv", "max", "avg"), ("conv",)),
            "version": (integer(1, 2), (2,)),
        },
    )
    feature_names: ClassVar[tuple[str, ...]] = ("q_stride", "kv_stride", "growth")
    num_heads: Annotated[int, integer(1, LIMITS["num_heads"])]
    q_stride: Annotated[int, integer(1, 2)] = 1
    kv_stride: Annotated[int, integer(1, 16)] = 2
    growth: Annotated[int, integer(1, 4)] = 1
    mode: Annotated[str, one_of("conv", "max", "avg")] = "conv"
    version: Annotated[int, integer(1, 2)] = 2

    def pools(self, stride: int) -> bool:
        """Whether queries, or keys and values, of that stride are pooled."""
        return stride > 1 or self.version == 2

    def grids(self, shape: Shape) -> tuple[Grid, Grid]:
        """The grids of queries and of keys. Raises ValueError without a grid."""
        if shape.grid is None:
            raise ValueError(
                f"Pooled attention needs a grid, but that of these {shape.tokens} tokens is lost: "
                "put it before what loses the grid."
            )
        rows, columns = shape.grid
        q, k = ((-(-rows // s), -(-columns // s)) for s in (self.q_stride, self.kv_stride))
        return q, k

    def after(self, shape: Shape) -> Shape:
        grid, _ = self.grids(shape)
        out = Shape(grid, grid[0] * grid[1], shape.prefix, shape.dim * self.growth)
        if out.dim > LIMITS["embed_dim"]:
            raise ValueError(
                f"`embed_dim * growth` (={shape.dim} * {self.growth}) must be at most "
                f"{LIMITS['embed_dim']}: let fewer blocks grow."
            )
        check_heads(out, self.num_heads)
        return out

    def changes(self) -> bool:
        return self.q_stride > 1 or self.growth > 1

    def flops(self, shape: Shape) -> int:
        out, (_, (rows, columns)) = self.after(shape), self.grids(shape)
        n, q, width = shape.length, out.length, out.dim
        keys = rows * columns
        total = 3 * n * shape.dim * width + 2 * q * (keys + shape.prefix) * width + q * width**2
        if self.mode == "conv":
            total += 9 * width * out.tokens * self.pools(self.q_stride)
            total += 18 * width * keys * self.pools(self.kv_stride)
        if self.version == 2:
            total += out.tokens * width * (rows + columns)
        return total + (n * shape.dim * width if self.growth > 1 else 0)

    def params(self, shape: Shape) -> int:
        out, grids = self.after(shape), self.grids(shape)
        width, head_dim = out.dim, out.dim // self.num_heads
        total = 3 * width * (shape.dim + 1) + width * (width + 1)
        if self.mode == "conv":
            pools = self.pools(self.q_stride) + 2 * self.pools(self.kv_stride)
            total += pools * (9 + 2) * head_dim
        if self.version == 2:
            total += sum((2 * max(sides) - 1) * head_dim for sides in zip(*grids, strict=True))
        return total + (width * (shape.dim + 1) if self.growth > 1 else 0)

    def build(self, shape: Shape) -> nn.Module:
        from space.modules.pooled import PooledAttention

        return PooledAttention(self, shape)

    def words(self) -> str:
        grows = f", ×{self.growth} wide" if self.growth > 1 else ""
        return f"MViTv{self.version} {self.mode} q/{self.q_stride} kv/{self.kv_stride}{grows}"

    def features(self, shape: Shape) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in self.feature_names}
