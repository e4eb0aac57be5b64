"""The norms of a block and behind the last one."""

from __future__ import annotations

from torch import Tensor, nn

from space.variant import Variant


class TokenBatchNorm(nn.Module):
    """BatchNorm of tokens (..., C): statistics over images and tokens."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.normalized_shape = (dim,)
        self.norm = nn.BatchNorm1d(dim, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.flatten(0, -2)).view_as(x)
        return normed


def norm_of(variant: Variant, dim: int) -> nn.Module:
    """A norm of tokens of that width, as the network has them."""
    kind = nn.LayerNorm if variant.norm_layer == "layer" else TokenBatchNorm
    return kind(dim, eps=variant.norm_eps)
