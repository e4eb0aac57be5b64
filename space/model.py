"""Networks to build: `build_model`, and timm's entry point for `timm.create_model`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from timm.models import build_model_with_cfg, register_model

from space.architecture import Architecture
from space.modules.network import Block, VisionTransformer

__all__ = ["Block", "VisionTransformer", "build_model", "timm_config", "vit_frontier"]

_FIRST_CONV = {"conv": "conv1", "tokenizer": "convs.0"}  # of a stem


def build_model(architecture: Architecture, *, drop_path_rate: float = 0.0) -> VisionTransformer:
    """The network of `architecture`, initialised from torch's global generator.

    `drop_path_rate` grows linearly from 0 at the first block to its value at the last.
    """
    return VisionTransformer(architecture, drop_path_rate=drop_path_rate)


@register_model
def vit_frontier(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """timm's entry point, by `architecture={...}` or "local-dir:FOLDER" of `vit-frontier export`.
    Raises ValueError on an impossible architecture, TypeError on an option these networks lack,
    timm's RuntimeError if there are no weights."""
    # `num_classes` (0: no head), `in_chans` and `img_size` go before those of `architecture`.
    if kwargs.get("architecture") is None:
        raise ValueError("timm's model 'vit_frontier' needs `architecture`, a dict of its fields.")
    config = kwargs.pop("pretrained_cfg", None)
    if config is None or isinstance(config, Mapping):
        config = timm_config(Architecture.from_dict(kwargs["architecture"])) | dict(config or {})
        if config.get("source") == "local-dir":  # timm before 1.0.31 reads it with pickle
            file = os.path.join(config["file"], "model.safetensors")
            config |= {"source": "", "file": file}
    return build_model_with_cfg(
        _build_for_timm, "vit_frontier", pretrained, pretrained_cfg=config, **kwargs
    )


def _build_for_timm(
    *,
    architecture: Mapping[str, Any],
    num_classes: int,
    in_chans: int,
    img_size: int | Sequence[int],
    drop_path_rate: float = 0.0,
    drop_rate: float = 0.0,
) -> VisionTransformer:
    if drop_rate:
        raise TypeError(f"'vit_frontier' has no dropout: leave out `drop_rate` (={drop_rate}).")
    if not isinstance(img_size, int):
        img_size = img_size[0] if len(set(img_size)) == 1 else img_size  # timm's are (S, S)
    sizes = {"in_chans": in_chans, "img_size": img_size}
    if num_classes:
        sizes["num_classes"] = num_classes
    built = Architecture.from_dict({**architecture, **sizes})
    model = build_model(built, drop_path_rate=drop_path_rate)
    if not num_classes:
        model.reset_classifier(0)
    return model


def timm_config(architecture: Architecture) -> dict[str, Any]:
    """timm's `pretrained_cfg` of the network, without the mean and std of any images."""
    a = architecture
    return {
        "num_classes": a.num_classes,
        "input_size": (a.in_chans, a.img_size, a.img_size),
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        "first_conv": f"patch_embed.{_FIRST_CONV.get(a.stem.kind, 'proj')}",
        "classifier": "head",
    }
