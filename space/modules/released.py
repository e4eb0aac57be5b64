"""Weights of the authors' released DeepViT, HVT and DynamicViT modules under our names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def load_released_state_dict(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Loads a state dict of the authors' code (dvit_repo 1ccb152, HVT f32cc1c) or of timm into a
    network, a block or a block's attention. Raises ValueError if names or shapes differ."""
    # HVT's positional embedding after a pool has another name there: `blocks.i.pos_embed`, here
    # `blocks.i.pool.pos_embed`; DynamicViT's predictors are `score_predictor.s` there, here
    # `blocks.i.pruning`.
    ours = model.state_dict()
    released = {_released_name(name, list(ours)): name for name in ours}
    renamed = {released.get(name, name): tensor for name, tensor in state_dict.items()}
    missing, unexpected = sorted(ours.keys() - renamed.keys()), sorted(renamed.keys() - ours.keys())
    shapes = [
        f"{name} {tuple(renamed[name].shape)} for {tuple(ours[name].shape)}"
        for name in sorted(ours.keys() & renamed.keys())
        if renamed[name].shape != ours[name].shape
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            "The state dict must hold the tensors of this architecture, but "
            f"missing={missing}, unexpected={unexpected}, other shapes={shapes}: compare the "
            "architecture's depth, reattention, pools, head and stem with the weights'."
        )
    model.load_state_dict(renamed)


def _released_name(name: str, ours: list[str]) -> str:
    """What a tensor of ours is called in the authors' code."""
    block, pruning, rest = name.partition(".pruning.")
    if not pruning:
        return name.replace("pool.pos_embed", "pos_embed")
    blocks = list(dict.fromkeys(n.partition(".pruning.")[0] for n in ours if ".pruning." in n))
    return f"score_predictor.{blocks.index(block)}.{rest}"
