"""What a full training may add to cross-entropy: DeepViT's regularisation, DiversePatch's losses,
a teacher."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Heard:
    """What the last forward of a network told: `maps` of its first `count` modules that offer
    attention maps (B, H, N, N), each with its gradient."""

    def __init__(self, model: nn.Module, count: int) -> None:
        self.maps: list[Tensor] = []
        offering = [module for module in model.modules() if hasattr(module, "attention_maps")]
        for module in offering[:count]:
            module.register_forward_pre_hook(self._record)

    def _record(self, attn: nn.Module, args: tuple[Any, ...]) -> None:
        if attn.training:
            self.maps.append(attn.attention_maps(args[0]))  # type: ignore[operator]

    def take(self) -> list[Tensor]:
        """The maps since the last time, which are forgotten."""
        maps, self.maps = self.maps, []
        return maps


def cosine_regularisation(maps: list[Tensor]) -> Tensor:
    """Mean cosine, along the heads, of the attention maps (B, H, N, N) of neighbouring blocks with
    equally many tokens, as in DeepViT's released loss. Zero where there are no two."""
    pairs = [(p, q) for p, q in pairwise(maps) if p.shape == q.shape]
    if not pairs:
        return torch.zeros(())
    dtype = torch.promote_types(maps[0].dtype, torch.float32)
    found = [F.cosine_similarity(p.to(dtype), q.to(dtype), dim=1).mean() for p, q in pairs]
    return torch.stack(found).mean()


class PatchTokens:
    """The patch tokens (B, N, C) of the last forward in training, after the first block and after
    the last norm; `prefix` tokens before them are left out."""

    def __init__(self, model: Any, prefix: int) -> None:
        self._prefix, self._first, self._last = prefix, torch.empty(0), torch.empty(0)
        model.blocks[0].register_forward_hook(self._record_first)
        model.norm.register_forward_hook(self._record_last)

    def _record_first(self, block: nn.Module, args: Any, out: Any) -> None:
        self._first = (out[0] if isinstance(out, tuple) else out)[:, self._prefix :]

    def _record_last(self, norm: nn.Module, args: Any, out: Tensor) -> None:
        self._last = out[:, self._prefix :]

    def take(self) -> tuple[Tensor, Tensor]:
        """Both, which are forgotten."""
        found = self._first.float(), self._last.float()
        self._first, self._last = torch.empty(0), torch.empty(0)
        return found


def patch_diversity(first: Tensor, last: Tensor) -> Tensor:
    """DiversePatch's cosine loss of the last tokens (B, N, C) and, where the first are of that
    shape, its contrastive loss between both (arXiv 2104.12753, equations 3 and 4); not its mixing
    loss, which needs a head of its own."""
    patches = last.shape[1]
    if patches < 2:
        return last.new_zeros(())
    unit = F.normalize(last, dim=-1)
    cosines = (unit @ unit.mT).abs().sum((1, 2)) - unit.square().sum((1, 2))
    loss = cosines.mean() / (patches * (patches - 1))
    if first.shape != last.shape:
        return loss
    others = (last.sum(1, keepdim=True) - last) / (patches - 1)
    same, other = (first * last).sum(-1), (first * others).sum(-1)
    return loss + F.softplus(other - same).mean()


def distillation(logits: Tensor, teacher: Tensor, *, temperature: float | None) -> Tensor:
    """DeiT's loss against the logits (B, classes) of a teacher (arXiv 2012.12877, section 4): hard,
    the class it is surest of; with a temperature soft, KL divergence times its square."""
    if temperature is None:
        return F.cross_entropy(logits, teacher.argmax(-1))
    theirs = F.log_softmax(teacher / temperature, dim=-1)
    ours = F.log_softmax(logits / temperature, dim=-1)
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
