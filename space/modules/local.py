"""Depth-wise convolutions in a block: a branch beside it, or inside its MLP."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from space.parts.blocks.dwmlp import DwMlp
from space.parts.blocks.local import Local
from space.parts.part import Shape


def to_maps(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens (B, N, C) without class token as maps (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)  # len() fixes the batch


def to_tokens(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) as tokens (B, N, C) in raster order."""
    return maps.flatten(2).transpose(1, 2)


def depthwise(dim: int, kernel_size: int, *, bias: bool = True) -> nn.Conv2d:
    """A convolution of each channel by itself that keeps the grid."""
    return nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=bias)


class LocalBranch(nn.Module):
    """`DWConv(BN(GELU(x)))` of the tokens on their grid, 0 for a class token."""

    def __init__(self, local: Local, shape: Shape) -> None:
        super().__init__()
        assert shape.grid is not None
        self.grid, self.prefix_tokens = shape.grid, shape.prefix
        self.norm = nn.BatchNorm2d(shape.dim)
        self.conv = depthwise(shape.dim, local.kernel_size)

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N, C)
        maps = to_maps(x[:, self.prefix_tokens :], self.grid)
        out = to_tokens(self.conv(self.norm(F.gelu(maps))))
        return F.pad(out, (0, 0, self.prefix_tokens, 0)) if self.prefix_tokens else out


class DepthwiseMlp(nn.Module):
    """Linear, depth-wise 3x3, GELU, linear; with norms Linear, BN, GELU, conv, BN, GELU, linear,
    BN."""

    def __init__(self, mlp: DwMlp, shape: Shape) -> None:
        super().__init__()
        assert shape.grid is not None
        dim, hidden = shape.dim, mlp.hidden(shape.dim)
        self.grid, self.prefix_tokens, self.norm = shape.grid, shape.prefix, mlp.norm
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = depthwise(hidden, 3)
        self.fc2 = nn.Linear(hidden, dim)
        if mlp.norm:
            self.bn1, self.bn2 = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
            self.bn3 = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N, C)
        if not self.norm:
            return self.fc2(F.gelu(self._convolved(self.fc1(x))))
        x = F.gelu(_normed(self.bn1, self.fc1(x)))
        x = F.gelu(_normed(self.bn2, self._convolved(x)))
        return _normed(self.bn3, self.fc2(x))

    def _convolved(self, x: Tensor) -> Tensor:
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        tokens = to_tokens(self.dwconv(to_maps(tokens, self.grid)))
        return torch.cat([prefix, tokens], dim=1) if self.prefix_tokens else tokens


def _normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    return norm(x.flatten(0, 1)).view_as(x)
