"""Attention whose logits are not just q k^T / sqrt(d): LSA, L2 attention, PAAS."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor, nn

from space.modules.attention import kept_softmax
from space.modules.heads import Heads, split_heads


@register_notrace_module
class LocalitySelfAttention(Heads):
    """A learned scale for each head, 1 / sqrt(d) at first, and no attention of a token to itself
    (arXiv 2112.13492, section 3.2)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.scales = nn.Parameter(torch.full((num_heads,), self.scale))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        q = q * self.scales[:, None, None].to(q.dtype)
        others = self._others(x)
        return self.joined(F.scaled_dot_product_attention(q, k, v, attn_mask=others, scale=1.0))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        q, k, _ = self.split(x)
        scores = (q * self.scales[:, None, None]) @ k.transpose(-2, -1)
        others = self._others(x)
        return (scores if others is None else scores.masked_fill(~others, -torch.inf)).softmax(-1)

    def _others(self, x: Tensor) -> Tensor | None:
        """True off the diagonal (N, N); None for a token alone, which has only itself."""
        tokens = x.shape[1]
        return None if tokens == 1 else ~torch.eye(tokens, dtype=torch.bool, device=x.device)


@register_notrace_module
class L2Attention(nn.Module):
    """`softmax(-|q_i - q_j|^2 / sqrt(d))`, where queries are keys too (arXiv 2107.04589, section
    3.2). |q_i|^2 is the same for a whole row, so that the softmax does not see it."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.q, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C); tokens whose `keep` (B, N) is 0 are not attended to."""
        q, v = (split_heads(layer(x), self.num_heads) for layer in (self.q, self.v))
        if keep is None:
            bias = -self.scale * q.square().sum(-1)[:, :, None, :]
            bias = bias.expand(-1, -1, x.shape[1], -1).to(q.dtype)
            out = F.scaled_dot_product_attention(q, q, v, attn_mask=bias, scale=2 * self.scale)
        else:
            out = kept_softmax(self._scores(q), keep) @ v
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        return self._scores(split_heads(self.q(x), self.num_heads)).softmax(-1)

    def _scores(self, q: Tensor) -> Tensor:
        return self.scale * (2 * q @ q.transpose(-2, -1) - q.square().sum(-1)[:, :, None, :])


class PositionScaledAttention(Heads):
    """Logits times a learned factor from 0 to 1 of every pair of places, 1/2 at first: the paper's
    code leaves it as the memory was (arXiv 2105.07926, equation 4)."""

    def __init__(self, dim: int, num_heads: int, length: int) -> None:
        super().__init__(dim, num_heads)
        self.att_mask = nn.Parameter(torch.zeros(num_heads, length, length))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.joined(self._maps(q, k) @ v)

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        q, k, _ = self.split(x)
        return self._maps(q, k)

    def _maps(self, q: Tensor, k: Tensor) -> Tensor:
        scores = (q * self.scale) @ k.transpose(-2, -1)
        return (scores * self.att_mask.sigmoid().to(scores.dtype)).softmax(-1)
