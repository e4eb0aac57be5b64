"""HVT's pooling of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from space.parts.part import Shape
from space.parts.tokens.pool import Pool


class TokenPool(nn.Module):
    """HVT's pooling of tokens in raster order, then a positional embedding of the new length."""

    def __init__(self, pool: Pool, shape: Shape) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.op = pool.kernel_size, pool.stride, pool.op
        self.prefix_tokens = shape.prefix
        self.pos_embed = nn.Parameter(torch.empty(1, pool.after(shape).length, shape.dim))

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N', C)
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        pool = F.max_pool1d if self.op == "max" else F.avg_pool1d
        pooled = pool(tokens.transpose(1, 2), self.kernel_size, self.stride)
        pooled = pooled.transpose(1, 2)
        if self.prefix_tokens:
            pooled = torch.cat([prefix, pooled], dim=1)
        return pooled + self.pos_embed
