"""The linear layers that most attention has, under timm's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """`qkv` and `proj` around H heads that attend at `width`, that of the tokens if not given."""

    def __init__(
        self, dim: int, num_heads: int, *, width: int | None = None, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.width = width or dim
        self.head_dim = self.width // num_heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * self.width, bias=qkv_bias)
        self.proj = nn.Linear(self.width, dim)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, H, N, d) of tokens (B, N, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def joined(self, out: Tensor) -> Tensor:
        """Tokens (B, N, C) of the heads' outputs (B, H, N, d)."""
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, C) as heads (B, H, N, C / H)."""
    batch, tokens, dim = x.shape
    return x.reshape(batch, tokens, num_heads, dim // num_heads).transpose(1, 2)


def best_first(scores: Tensor) -> Tensor:
    """Indices (B, N) of scores (B, N), the largest first."""
    return scores.argsort(dim=1, descending=True)


def taken(x: Tensor, index: Tensor) -> Tensor:
    """The tokens (B, K, C) of x (B, N, C) at these places (B, K)."""
    return torch.gather(x, 1, index[..., None].expand(-1, -1, x.shape[-1]))
