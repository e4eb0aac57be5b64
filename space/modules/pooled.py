"""MViT's attention over pooled queries, keys and values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor, nn

from space.modules.heads import Heads
from space.parts.attention.pooled import Pooled
from space.parts.part import Shape

LAYER_NORM_EPS = 1e-6


class HeadPool(nn.Module):
    """3x3 pooling of each head on the grid, its weights shared by the heads; a convolution is
    followed by a norm. A class token goes by the pooling, not by the norm."""

    def __init__(self, head_dim: int, stride: int, mode: str, prefix: int) -> None:
        super().__init__()
        self.stride, self.mode, self.prefix_tokens = stride, mode, prefix
        conv = mode == "conv"
        self.pool = (
            nn.Conv2d(head_dim, head_dim, 3, stride, 1, groups=head_dim, bias=False)
            if conv
            else None
        )
        self.norm = nn.LayerNorm(head_dim, eps=LAYER_NORM_EPS) if conv else None

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:  # (B, H, P + N, d)
        prefix, tokens = x[:, :, : self.prefix_tokens], x[:, :, self.prefix_tokens :]
        batch, heads, _, dim = x.shape
        image = tokens.transpose(2, 3).reshape(batch * heads, dim, *grid)
        if self.pool is not None:
            image = self.pool(image)
        elif self.mode == "max":
            image = F.max_pool2d(image, 3, self.stride, 1)
        else:
            image = F.avg_pool2d(image, 3, self.stride, 1)
        pooled = image.reshape(batch, heads, dim, -1).transpose(2, 3)
        pooled = torch.cat([prefix, pooled], dim=2) if self.prefix_tokens else pooled
        return pooled if self.norm is None else self.norm(pooled)


@register_notrace_module
class PooledAttention(Heads):
    """Attention of pooled queries to pooled keys (arXiv 2104.11227, section 3.1). Version 2 adds
    relative positions and the queries (arXiv 2112.01526, section 4.1)."""

    # The class token has no place and no pooled query, and is left as it is.

    def __init__(self, part: Pooled, shape: Shape) -> None:
        assert shape.grid is not None
        out = part.after(shape)
        super().__init__(shape.dim, part.num_heads, width=out.dim)
        self.proj = nn.Linear(out.dim, out.dim)
        self.prefix_tokens, self.grid, self.q_stride = shape.prefix, shape.grid, part.q_stride
        self.q_grid, self.k_grid = part.grids(shape)

        def pool(stride: int) -> HeadPool | None:
            if not part.pools(stride):
                return None
            return HeadPool(self.head_dim, stride, part.mode, shape.prefix)

        self.pool_q = pool(part.q_stride)
        self.pool_k, self.pool_v = pool(part.kv_stride), pool(part.kv_stride)
        self.skip = None if out.dim == shape.dim else nn.Linear(shape.dim, out.dim)
        self.is_second = part.version == 2
        if self.is_second:
            for axis, name in enumerate(("rel_pos_h", "rel_pos_w")):
                index = _places(self.q_grid[axis], self.k_grid[axis])
                self.register_buffer(f"{name}_index", index, persistent=False)
                rows = 2 * max(self.q_grid[axis], self.k_grid[axis]) - 1
                table = nn.Parameter(torch.empty(rows, self.head_dim))
                setattr(self, name, nn.init.trunc_normal_(table, std=0.02))

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N', C')
        q, k, v = self.split(x)
        q = q if self.pool_q is None else self.pool_q(q, self.grid)
        k = k if self.pool_k is None else self.pool_k(k, self.grid)
        v = v if self.pool_v is None else self.pool_v(v, self.grid)
        if not self.is_second:
            return self.joined(F.scaled_dot_product_attention(q, k, v))
        p = self.prefix_tokens
        scores = (q * self.scale) @ k.transpose(-2, -1)
        scores = scores + F.pad(self._relative(q[:, :, p:]), (p, 0, p, 0))
        out = scores.softmax(-1) @ v
        return self.joined(out + F.pad(q[:, :, p:], (0, 0, p, 0)))

    def shortcut(self, x: Tensor, normed: Tensor) -> Tensor:
        """What the output is added to: the tokens pooled as the queries are, by their maximum, and
        widened from the normalised ones."""
        x = x if self.skip is None else self.skip(normed)
        if self.q_stride == 1:
            return x
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        image = tokens.transpose(1, 2).unflatten(2, self.grid)
        size = self.q_stride + 1
        pooled = F.max_pool2d(image, size, self.q_stride, size // 2).flatten(2).transpose(1, 2)
        return torch.cat([prefix, pooled], dim=1)

    def _relative(self, q: Tensor) -> Tensor:
        """`q . (R_h + R_w)` (B, H, N', M) of the pooled grids."""
        rows, columns = (
            getattr(self, name)[getattr(self, f"{name}_index")].transpose(1, 2)
            for name in ("rel_pos_h", "rel_pos_w")
        )
        batch, heads, tokens, dim = q.shape
        q = q.reshape(batch, heads, *self.q_grid, dim)
        by_row = q @ rows  # (B, H, h, w, h')
        by_column = (q.transpose(2, 3) @ columns).transpose(2, 3)
        both = by_row[..., :, None] + by_column[..., None, :]
        return both.reshape(batch, heads, tokens, -1)


def _places(q: int, k: int) -> Tensor:
    """The row of the table (q, k) for each pair of places along one direction."""
    by_q, by_k = max(k / q, 1.0), max(q / k, 1.0)
    distance = torch.arange(q)[:, None] * by_q - torch.arange(k)[None] * by_k
    return (distance + (k - 1) * by_k).long()
