"""timm's attention with its maps, and a softmax that leaves tokens out."""

from __future__ import annotations

import torch
from timm.layers import Attention
from torch import Tensor, nn

MASK_EPS = 1e-6


class PlainAttention(Attention):
    """timm's multi-head attention, fused where torch can; its maps (B, H, N, N) on request."""

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C); tokens whose `keep` (B, N) is 0 are not attended to."""
        if keep is None:
            return super().forward(x)
        batch, tokens, dim = x.shape
        scores, v = self._scores(x)
        out = kept_softmax(scores, keep) @ v
        return self.proj_drop(self.proj(out.transpose(1, 2).reshape(batch, tokens, dim)))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        return self._scores(x)[0].softmax(-1)

    def _scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        return (q * self.scale) @ k.transpose(-2, -1), v


def kept_softmax(scores: Tensor, keep: Tensor) -> Tensor:
    """Softmax of scores (B, H, N, N) over kept tokens and the token itself, in which gradients
    reach `keep` (B, N) (arXiv 2106.02034, equation 11). At least float32; rows sum to 1."""
    tokens = scores.shape[-1]
    dtype = torch.promote_types(scores.dtype, torch.float32)
    diagonal = torch.eye(tokens, dtype=dtype, device=scores.device)
    mask = keep.to(dtype)[:, None, None, :]  # (B, 1, 1, N)
    mask = mask + (1.0 - mask) * diagonal
    weights = (scores - scores.amax(-1, keepdim=True)).to(dtype).exp() * mask
    maps = (weights + MASK_EPS / tokens) / (weights.sum(-1, keepdim=True) + MASK_EPS)
    return maps.to(scores.dtype)


def attention_maps(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The attention maps (B, H, N_i, N_i) on `images` (B, C, H, W) of every block whose module
    offers `attention_maps(x)`, in the model's present mode: in train mode BatchNorm statistics are
    updated."""
    maps: list[Tensor] = []

    def record(attn: nn.Module, args: tuple[Tensor, ...]) -> None:
        maps.append(attn.attention_maps(args[0]))  # type: ignore[operator]

    modules = [module for module in model.modules() if hasattr(module, "attention_maps")]
    hooks = [module.register_forward_pre_hook(record) for module in modules]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return maps
