"""AutoFormer's attention with relative positions on keys and values."""

from __future__ import annotations

import torch
from timm.models import register_notrace_module
from torch import Tensor, nn

from space.modules.heads import Heads
from space.parts.attention.relative import Relative
from space.parts.part import Shape


class RelativePositions(nn.Module):
    """A vector (N, N, d) for each pair of tokens: one for how far down plus one for how far right,
    clipped at `reach`; the first of each table is a class token's."""

    def __init__(self, head_dim: int, reach: int, shape: Shape) -> None:
        super().__init__()
        assert shape.grid is not None
        for axis, name in enumerate("vh"):
            table = nn.Parameter(torch.empty(2 * reach + 2, head_dim))
            setattr(self, f"embeddings_table_{name}", nn.init.trunc_normal_(table, std=0.02))
            index = _places(shape, axis, reach)
            self.register_buffer(f"places_{name}", index, persistent=False)

    def forward(self) -> Tensor:
        down = self.embeddings_table_v[self.places_v]  # type: ignore[index]
        right = self.embeddings_table_h[self.places_h]  # type: ignore[index]
        both: Tensor = down + right
        return both


@register_notrace_module
class RelativeAttention(Heads):
    """`softmax(q (k + R_k)^T / sqrt(d)) (v + R_v)` at a width apart from that of the tokens
    (arXiv 2107.00651, section 3.4)."""

    def __init__(self, part: Relative, shape: Shape) -> None:
        super().__init__(shape.dim, part.num_heads, width=part.width)
        self.rel_pos_embed_k = RelativePositions(part.head_dim, part.reach, shape)
        self.rel_pos_embed_v = RelativePositions(part.head_dim, part.reach, shape)

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        q, k, v = self.split(x)
        maps = self._maps(q, k)
        by_place = maps.transpose(1, 2) @ self.rel_pos_embed_v().to(v.dtype)  # (B, N, H, d)
        return self.joined(maps @ v + by_place.transpose(1, 2))

    def attention_maps(self, x: Tensor) -> Tensor:
        """The maps (B, H, N, N) on normalised tokens x (B, N, C)."""
        q, k, _ = self.split(x)
        return self._maps(q, k)

    def _maps(self, q: Tensor, k: Tensor) -> Tensor:
        q = q * self.scale
        by_place = q.transpose(1, 2) @ self.rel_pos_embed_k().to(q.dtype).transpose(1, 2)
        return (q @ k.transpose(-2, -1) + by_place.transpose(1, 2)).softmax(-1)


def _places(shape: Shape, axis: int, reach: int) -> Tensor:
    """The row of a table (N, N) for each pair of tokens along rows (0) or columns (1)."""
    assert shape.grid is not None
    number, columns = torch.arange(shape.tokens), shape.grid[1]
    along = number % columns if axis else torch.div(number, columns, rounding_mode="floor")
    places = torch.zeros(shape.length, shape.length, dtype=torch.long)
    distance = (along[None] - along[:, None]).clamp(-reach, reach)
    places[shape.prefix :, shape.prefix :] = distance + reach + 1
    return places
