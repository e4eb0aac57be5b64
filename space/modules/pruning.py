"""DynamicViT's token pruning."""

from __future__ import annotations

import torch
from timm.models import register_notrace_module
from torch import Tensor, nn

from space.parts.part import Shape
from space.parts.tokens.pruning import Pruning

RATIO_WEIGHT = 2.0


@register_notrace_module
class TokenPruning(nn.Module):
    """Scores tokens by `in_conv` and `out_conv`, named as in the authors' code. Evaluation keeps
    the best `kept`, the best first; training keeps all and draws a mask (Gumbel softmax, straight
    through)."""

    def __init__(self, pruning: Pruning, shape: Shape) -> None:
        super().__init__()
        dim = shape.dim
        self.keep, self.kept, self.prefix_tokens = pruning.keep, pruning.kept, shape.prefix
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(dim, dim // 2),
            nn.GELU(),
            nn.Linear(dim // 2, dim // 4),
            nn.GELU(),
            nn.Linear(dim // 4, 2),
            nn.LogSoftmax(dim=-1),
        )
        self._share: Tensor | None = None  # of tokens kept (B,), of the last forward in training

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """(B, P + N, C) to (B, P + N', C); in training to itself and `keep` (B, P + N): 1 for a
        token kept by this module and all before it, else 0."""
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        before = (
            tokens.new_ones(tokens.shape[:2]) if keep is None else keep[:, self.prefix_tokens :]
        )
        scores = self.scores(tokens, before)
        if not self.training:
            best = scores[..., 0].argsort(dim=1, descending=True)[:, : self.kept]
            tokens = tokens.gather(1, best[..., None].expand(-1, -1, tokens.shape[-1]))
            return torch.cat([prefix, tokens], dim=1)
        drawn = self._drawn(scores) * before
        self._share = drawn.mean(dim=1)
        ones = drawn.new_ones(drawn.shape[0], self.prefix_tokens)
        return x, torch.cat([ones, drawn], dim=1)

    def scores(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """Log probabilities (B, N, 2) that each token is kept or not; `keep` (B, N) says which
        tokens the mean over the image is made of."""
        hidden = self.in_conv(tokens)
        half = hidden.shape[-1] // 2
        local, rest = hidden[..., :half], hidden[..., half:]
        mean = (rest * keep[..., None]).sum(1, keepdim=True) / keep.sum(1)[:, None, None]
        return self.out_conv(torch.cat([local, mean.expand_as(rest)], dim=-1))

    def loss(self) -> Tensor | None:
        """How far the share of kept tokens was from `keep` in the last forward in training, once;
        None if there was none."""
        share, self._share = self._share, None
        return None if share is None else RATIO_WEIGHT * (share - self.keep).square().mean()

    def _drawn(self, scores: Tensor) -> Tensor:
        """1 for each token (B, N) that is drawn, else 0; the gradients are the probability's."""
        soft = (scores + self._noise(scores)).softmax(-1)[..., 0]
        hard = (soft >= 0.5).to(soft.dtype)
        return hard - soft.detach() + soft

    def _noise(self, scores: Tensor) -> Tensor:
        """Gumbel noise, drawn at least in float32: in float16 some draws are 0, their log is not
        finite."""
        dtype = torch.promote_types(scores.dtype, torch.float32)
        noise = -torch.empty_like(scores, dtype=dtype).exponential_().log()
        return noise.to(scores.dtype)
