"""Attention whose maps are computed once for several blocks."""

from __future__ import annotations

from torch import Tensor, nn

from space.modules.heads import Heads, split_heads


class OwningAttention(Heads):
    """Plain attention that hands on its maps as `carried["maps"]`."""

    carries = True

    def forward(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        q, k, v = self.split(x)
        maps = carried["maps"] = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1)
        return self.joined(maps @ v)


class ReusingAttention(nn.Module):
    """The maps of the block before on values of its own; gradients reach that block's queries."""

    carries = True

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.v, self.proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        out = carried["maps"] @ split_heads(self.v(x), self.num_heads)
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected
