"""Networks to build: `build_model`, and timm's entry point for `timm.create_model`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models import (
    build_model_with_cfg,
    generate_default_cfgs,
    get_pretrained_cfg,
    register_model,
)
from torch import nn

from space.architecture import Architecture
from space.modules.block import Block
from space.modules.intermediates import one_side, shapes_behind
from space.modules.network import VisionTransformer
from space.modules.resampling import resampled_state_dict
from space.named import named

__all__ = ["Block", "VisionTransformer", "build_model", "timm_config", "vit_frontier"]

_FIRST_CONV = {"conv": "conv1", "tokenizer": "convs.0", "rvt": "conv", "strided": "convs.0"}


def build_model(architecture: Architecture, *, drop_path_rate: float = 0.0) -> VisionTransformer:
    """The network of `architecture`, initialised from torch's global generator.

    `drop_path_rate` grows linearly from 0 at the first block to its value at the last.
    """
    return VisionTransformer(architecture, drop_path_rate=drop_path_rate)


default_cfgs = generate_default_cfgs({"vit_frontier": {}})


@register_model
def vit_frontier(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """timm's entry point, by `architecture={...}` or "local-dir:FOLDER" of `vit-frontier export`;
    DeiT-Ti by its bare name, so that each name that timm lists can be created. Raises ValueError on
    an impossible architecture, TypeError on an option these networks lack, timm's RuntimeError if
    there are no weights."""
    # `num_classes` (0: no head), `in_chans` and `img_size` go before those of `architecture`.
    built = named("deit_tiny").to_dict() if "architecture" not in kwargs else kwargs["architecture"]
    architecture = Architecture.from_dict(built)
    kwargs["architecture"] = architecture.to_dict()
    config = kwargs.pop("pretrained_cfg", None)
    if config is None or isinstance(config, Mapping):
        config = timm_config(architecture) | _chosen(config or {})
        if config.get("source") == "local-dir":  # timm before 1.0.31 reads it with pickle
            file = os.path.join(config["file"], "model.safetensors")
            config |= {"source": "", "file": file}
    lost = any(shape.grid is None for shape in shapes_behind(architecture))
    features = {"out_indices": min(3, architecture.depth), "feature_cls": "getter"}
    features |= {"output_fmt": "NLC" if lost else "NCHW"} | kwargs.pop("feature_cfg", {})
    return build_model_with_cfg(
        _build_for_timm, "vit_frontier", pretrained, pretrained_cfg=config, feature_cfg=features,
        pretrained_filter_fn=resampled_state_dict, **kwargs,
    )  # fmt: skip


def _chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody chose: timm's scripts hand over the registered values with it."""
    registered = get_pretrained_cfg("vit_frontier").to_dict()
    return {name: value for name, value in config.items() if value != registered.get(name, ...)}


def _build_for_timm(
    *,
    architecture: Mapping[str, Any],
    num_classes: int,
    in_chans: int,
    img_size: int | Sequence[int],
    global_pool: str | None = None,
    drop_path_rate: float = 0.0,
    drop_rate: float = 0.0,
    dynamic_img_size: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> VisionTransformer:
    if drop_rate:
        raise TypeError(f"'vit_frontier' has no dropout: leave out `drop_rate` (={drop_rate}).")
    if dynamic_img_size:
        raise TypeError("'vit_frontier' has one image size: build at the size with `img_size`.")
    sizes = {"in_chans": in_chans, "img_size": one_side(img_size), "num_classes": num_classes}
    built = Architecture.from_dict({**architecture, **sizes})
    with torch.device(device) if device is not None else contextlib.nullcontext():
        model = build_model(built, drop_path_rate=drop_path_rate)
    if global_pool is not None:
        model.check_pool(global_pool)
        model.global_pool = global_pool
    return model.to(dtype=dtype)


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
