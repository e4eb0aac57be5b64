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


def distillation(logits: Tensor, teacher: Tensor, *, temperature: float | None) -> Tensor:
    """DeiT's loss against the logits (B, classes) of a teacher (arXiv 2012.12877, section 4): hard,
    the class it is surest of; with a temperature soft, KL divergence times its square."""
    if temperature is None:
        return F.cross_entropy(logits, teacher.argmax(-1))
    theirs = F.log_softmax(teacher / temperature, dim=-1)
    ours = F.log_softmax(logits / temperature, dim=-1)
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
