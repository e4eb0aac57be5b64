"""Attention within windows of the grid, contiguous or dilated."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor, nn

from space.modules.heads import Heads
from space.modules.local import depthwise, to_maps, to_tokens
from space.parts.attention.shuffle import Shuffle
from space.parts.attention.window import Window
from space.parts.part import Shape


@register_notrace_module
class WindowAttention(Heads):
    """Attention among the M x M tokens of each window, with a learned bias for each relative place.

    A dilated window is spread over the whole grid (arXiv 2106.03650, section 3.2; 2106.02277).
    """

    # `gaze`, a depth-wise convolution of the values, is added before the projection.

    places: Tensor

    def __init__(self, part: Window | Shuffle, shape: Shape) -> None:
        assert shape.grid is not None
        super().__init__(shape.dim, part.num_heads, qkv_bias=part.qkv_bias)
        self.grid, self.size, self.dilated = shape.grid, part.size, part.dilate == "yes"
        table = torch.empty((2 * part.size - 1) ** 2, part.num_heads)
        self.relative_position_bias_table = nn.init.trunc_normal_(nn.Parameter(table), std=0.02)
        self.register_buffer("places", _places(part.size), persistent=False)
        self.gaze = (
            nn.Conv2d(shape.dim, shape.dim, part.gaze, padding=part.gaze // 2, groups=shape.dim)
            if part.gaze
            else None
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        batch, _, dim = x.shape
        q, k, v = (self._windows(t) for t in self.qkv(x).chunk(3, dim=-1))
        bias = self.relative_position_bias_table[self.places].permute(2, 0, 1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        out = self._merged(out, batch)
        if self.gaze is not None:
            image = self._merged(v, batch).transpose(1, 2).reshape(batch, dim, *self.grid)
            out = out + self.gaze(image).flatten(2).transpose(1, 2)
        projected: Tensor = self.proj(out)
        return projected

    def _cells(self) -> tuple[int, int, int, int]:
        """The grid as windows beside places in them: (rows, M, columns, M), or places first."""
        rows, columns = (side // self.size for side in self.grid)
        if self.dilated:
            return self.size, rows, self.size, columns
        return rows, self.size, columns, self.size

    def _windows(self, x: Tensor) -> Tensor:
        """(B, N, C) to (B * windows, H, M * M, d)."""
        cells = x.reshape(x.shape[0], *self._cells(), self.num_heads, self.head_dim)
        order = (0, 2, 4, 5, 1, 3, 6) if self.dilated else (0, 1, 3, 5, 2, 4, 6)
        return cells.permute(order).reshape(-1, self.num_heads, self.size**2, self.head_dim)

    def _merged(self, x: Tensor, batch: int) -> Tensor:
        """(B * windows, H, M * M, d) back to (B, N, C)."""
        rows, columns = (side // self.size for side in self.grid)
        cells = x.reshape(batch, rows, columns, self.num_heads, self.size, self.size, self.head_dim)
        order = (0, 4, 1, 5, 2, 3, 6) if self.dilated else (0, 1, 4, 2, 5, 3, 6)
        return cells.permute(order).reshape(batch, self.grid[0] * self.grid[1], self.width)


@register_notrace_module
class ShuffleAttention(WindowAttention):
    """Windows, and the local connection before the MLP: a depth-wise convolution of normed tokens
    (arXiv 2106.03650, section 3.3)."""

    def __init__(self, part: Shuffle, shape: Shape) -> None:
        super().__init__(part, shape)
        self.norm = nn.BatchNorm2d(shape.dim)
        self.local = depthwise(shape.dim, part.kernel_size, bias=False)

    def between(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        """`x + DWConv(BN(x))` of tokens (B, N, C)."""
        return x + to_tokens(self.local(self.norm(to_maps(x, self.grid))))


def _places(size: int) -> Tensor:
    """The row of the bias table (M * M, M * M) for each pair of places of a window."""
    rows, columns = torch.arange(size * size) // size, torch.arange(size * size) % size
    down = rows[:, None] - rows[None] + size - 1
    right = columns[:, None] - columns[None] + size - 1
    return down * (2 * size - 1) + right
