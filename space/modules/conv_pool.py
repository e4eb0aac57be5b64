"""Pools on the grid after which tokens are wider."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from space.modules.local import to_maps, to_tokens
from space.parts.part import Shape
from space.parts.tokens.conv_pool import ConvPool
from space.parts.tokens.merge import Merge


class WiderPrefix(nn.Module):
    """What pools on the grid share: the class token goes apart, by `fc` where the width changes."""

    def __init__(self, shape: Shape, dim: int) -> None:
        super().__init__()
        assert shape.grid is not None
        self.grid, self.prefix_tokens = shape.grid, shape.prefix
        self.fc = nn.Linear(shape.dim, dim) if shape.prefix and dim != shape.dim else nn.Identity()

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to tokens (B, N', C')."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N', C')
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        pooled = self.pooled(to_maps(tokens, self.grid))
        return torch.cat([self.fc(prefix), pooled], dim=1) if self.prefix_tokens else pooled


class GridPool(WiderPrefix):
    """PiT's: a 3x3/2 convolution, depth-wise where the width is a multiple of that before."""

    def __init__(self, pool: ConvPool, shape: Shape) -> None:
        dim = pool.width(shape.dim)
        super().__init__(shape, dim)
        groups = pool.groups(shape.dim)
        self.conv = nn.Conv2d(shape.dim, dim, 3, stride=2, padding=1, groups=groups)

    def pooled(self, maps: Tensor) -> Tensor:
        return to_tokens(self.conv(maps))


class PatchMerging(WiderPrefix):
    """Swin's with a LayerNorm of the merged tokens, Shuffle's with a BatchNorm before."""

    def __init__(self, merge: Merge, shape: Shape) -> None:
        dim = merge.width(shape.dim)
        super().__init__(shape, dim)
        self.norm: nn.Module
        if merge.norm == "layer":
            self.norm = nn.LayerNorm(4 * shape.dim)
            self.reduction: nn.Module = nn.Linear(4 * shape.dim, dim, bias=False)
        else:
            self.norm = nn.BatchNorm2d(shape.dim)
            self.reduction = nn.Conv2d(shape.dim, dim, 2, stride=2, bias=False)

    def pooled(self, maps: Tensor) -> Tensor:
        rows, columns = self.grid
        fill = (0, columns % 2, 0, rows % 2)
        if isinstance(self.reduction, nn.Conv2d):
            return to_tokens(self.reduction(F.pad(self.norm(maps), fill)))
        maps = F.pad(maps, fill)
        quarters = [maps[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(to_tokens(torch.cat(quarters, dim=1))))
