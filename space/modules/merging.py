"""Attention that reduces the tokens of its block, between itself and the MLP: ToMe and EViT."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from space.modules.heads import Heads, best_first, taken
from space.parts.attention.evit import EViT
from space.parts.attention.tome import ToMe
from space.parts.part import Shape


class MergingAttention(Heads):
    """Attention after which the `merged` pairs of most alike keys become one token each (arXiv
    2210.09461, section 3.1). `carried["sizes"]` (B, N, 1) says of how many tokens each is made."""

    # Even tokens choose the most alike of the odd ones by the cosine of their keys, averaged over
    # the heads; those with the best choice go into it.

    carries = True

    def __init__(self, part: ToMe, shape: Shape) -> None:
        super().__init__(shape.dim, part.num_heads)
        self.merged, self.prefix_tokens = part.merged(shape), shape.prefix
        self.proportional = part.proportional

    def forward(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        q, k, v = self.split(x)
        carried["keys"] = k.mean(1)
        if not self.proportional or "sizes" not in carried:
            return self.joined(F.scaled_dot_product_attention(q, k, v))
        scores = (q * self.scale) @ k.transpose(-2, -1)
        scores = scores + carried["sizes"].log()[:, None, None, :, 0]
        return self.joined(scores.softmax(-1) @ v)

    def between(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        """(B, N, C) to (B, N - merged, C): the unmerged even tokens, then the odd ones."""
        keys, sizes = carried.pop("keys"), carried.pop("sizes", torch.ones_like(x[..., :1]))
        if not self.merged:
            carried["sizes"] = sizes
            return x
        stay, go, into = self._matched(keys.detach())
        total, summed = (self._merged(t, stay, go, into) for t in (sizes, x * sizes))
        carried["sizes"] = total
        return summed / total

    def _matched(self, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places among the even tokens of those that stay and of those that go, and for each of
        these the place among the odd tokens that it goes into."""
        keys = F.normalize(keys, dim=-1)
        alike = keys[:, ::2] @ keys[:, 1::2].transpose(1, 2)
        place = torch.arange(keys.shape[1], device=keys.device)
        fixed = place < self.prefix_tokens
        alike = alike.masked_fill(torch.logical_or(fixed[::2, None], fixed[None, 1::2]), -torch.inf)
        best, choice = alike.max(dim=-1)
        order = best_first(best)
        go, stay = order[:, : self.merged], order[:, self.merged :]
        stay = stay.sort(dim=1).values if self.prefix_tokens else stay
        return stay, go, choice.gather(1, go)

    def _merged(self, x: Tensor, stay: Tensor, go: Tensor, into: Tensor) -> Tensor:
        even, odd = x[:, ::2], x[:, 1::2]
        into = into[..., None].expand(-1, -1, x.shape[-1])
        return torch.cat([taken(even, stay), odd.scatter_add(1, into, taken(even, go))], dim=1)


class SelectingAttention(Heads):
    """Attention after which the tokens stay that the class token attends to most, and one more that
    is the sum of the others by their scores (arXiv 2202.07800, section 3.3)."""

    carries = True

    def __init__(self, part: EViT, shape: Shape) -> None:
        super().__init__(shape.dim, part.num_heads)
        self.kept, self.fuse, self.prefix_tokens = part.kept(shape), part.fuse, shape.prefix

    def forward(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        q, k, v = self.split(x)
        maps = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1)
        carried["scores"] = maps[:, :, 0, self.prefix_tokens :].mean(1)
        return self.joined(maps @ v)

    def between(self, x: Tensor, carried: dict[str, Tensor]) -> Tensor:
        """(B, P + N, C) to (B, P + N', C): the best first, the fused token last."""
        scores = carried["scores"]
        carried.clear()
        if self.kept == scores.shape[1]:
            return x
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        order = best_first(scores)
        keep, drop = order[:, : self.kept], order[:, self.kept :]
        left = [prefix, taken(tokens, keep)]
        if self.fuse:
            weights = scores.gather(1, drop)[..., None]
            left.append((taken(tokens, drop) * weights).sum(1, keepdim=True))
        return torch.cat(left, dim=1)
