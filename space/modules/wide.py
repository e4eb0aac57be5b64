"""ViTAS's attention at a width apart from that of the tokens."""

from __future__ import annotations

import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor

from space.modules.heads import Heads
from space.parts.attention.wide import Wide
from space.parts.part import Shape


@register_notrace_module
class WideAttention(Heads):
    """`softmax(q k^T / sqrt(C / H)) v` at the width of the heads, not C (arXiv 2106.13700)."""

    def __init__(self, part: Wide, shape: Shape) -> None:
        super().__init__(shape.dim, part.num_heads, width=part.width)
        self.scale = (shape.dim // part.num_heads) ** -0.5

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        return self.joined(F.scaled_dot_product_attention(*self.split(x), scale=self.scale))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        q, k, _ = self.split(x)
        return (self.scale * q @ k.transpose(-2, -1)).softmax(-1)
