"""The network of an architecture, put together from timm's parts under timm's state-dict names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Attention, DropPath, Mlp, PatchEmbed
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from space.architecture import STEM_CHANS, Architecture, Pool
from space.attention import ReAttention

LAYER_NORM_EPS = 1e-6


class TokenPool(nn.Module):
    """HVT's pooling of tokens in raster order, then a positional embedding of the new length."""

    def __init__(self, pool: Pool, *, dim: int, tokens: int, prefix_tokens: int) -> None:
        super().__init__()
        self.pool, self.prefix_tokens = pool, prefix_tokens
        length = pool.tokens_after(tokens) + prefix_tokens
        self.pos_embed = nn.Parameter(torch.empty(1, length, dim))

    def forward(self, x: Tensor) -> Tensor:  # (B, P + N, C) -> (B, P + N', C)
        prefix, tokens = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        pool = F.max_pool1d if self.pool.op == "max" else F.avg_pool1d
        pooled = pool(tokens.transpose(1, 2), self.pool.kernel_size, self.pool.stride)
        pooled = pooled.transpose(1, 2)
        if self.prefix_tokens:
            pooled = torch.cat([prefix, pooled], dim=1)
        return pooled + self.pos_embed


class Block(nn.Module):
    """Pre-norm block `x + f(LN(r x)) / r` with plain attention or Re-attention, then its pool."""

    def __init__(self, architecture: Architecture, index: int, *, drop_path: float) -> None:
        super().__init__()
        a = architecture
        self.residual_scale = float(a.residual_scale)
        self.norm1 = nn.LayerNorm(a.embed_dim, eps=LAYER_NORM_EPS)
        self.attn = (
            ReAttention(a.embed_dim, a.num_heads, scale_maps=a.reattention_scale)
            if index in a.reattention
            else Attention(a.embed_dim, a.num_heads, qkv_bias=True)
        )
        self.norm2 = nn.LayerNorm(a.embed_dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(a.embed_dim, a.mlp_hidden_dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.pool: nn.Module = nn.Identity()
        for pool in a.pools:
            if pool.after == index:
                prefix = int(a.head == "token")
                tokens = a.token_counts[index] - prefix
                self.pool = TokenPool(pool, dim=a.embed_dim, tokens=tokens, prefix_tokens=prefix)

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C) -> (B, N', C)
        r = self.residual_scale
        if r == 1.0:
            x = x + self.drop_path(self.attn(self.norm1(x)))
            x = x + self.drop_path(self.mlp(self.norm2(x)))
        else:
            x = x + self.drop_path(self.attn(self.norm1(x * r)) / r)
            x = x + self.drop_path(self.mlp(self.norm2(x * r)) / r)
        return self.pool(x)


class ConvStem(nn.Module):
    """DeepViT-S/L's patch embedding: 7x7/2 and 3x3 convolutions, then (p/2)x(p/2)/(p/2) to C."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a, half = architecture, architecture.patch_size // 2
        self.conv1 = nn.Conv2d(a.in_chans, STEM_CHANS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANS)
        self.conv2 = nn.Conv2d(STEM_CHANS, STEM_CHANS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANS)
        self.proj = nn.Conv2d(STEM_CHANS, a.embed_dim, half, stride=half)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_chans, S, S) -> (B, N, C)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """The network of `architecture`: (B, in_chans, img_size, img_size) to logits (B, classes)."""

    def __init__(self, architecture: Architecture, *, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.num_classes, self.num_features = a.num_classes, a.embed_dim
        self.patch_embed: nn.Module = (
            PatchEmbed(a.img_size, a.patch_size, a.in_chans, a.embed_dim)
            if a.stem == "patch"
            else ConvStem(a)
        )
        prefix = int(a.head == "token")
        self.cls_token = nn.Parameter(torch.empty(1, 1, a.embed_dim)) if prefix else None
        self.pos_embed = nn.Parameter(torch.empty(1, a.grid_tokens + prefix, a.embed_dim))
        rates = [drop_path_rate * i / max(a.depth - 1, 1) for i in range(a.depth)]
        self.blocks = nn.Sequential(*(Block(a, i, drop_path=rates[i]) for i in range(a.depth)))
        self.norm = nn.LayerNorm(a.embed_dim, eps=LAYER_NORM_EPS)
        self.head: nn.Module = nn.Linear(a.embed_dim, a.num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        """timm's: truncated normal 0.02 for linear layers and embeddings, zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith(("pos_embed", "cls_token")):
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _init_linear(module)

    def no_weight_decay(self) -> set[str]:
        """Names of the positional embeddings and the class token (timm's convention)."""
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.endswith(("pos_embed", "cls_token"))}

    def get_classifier(self) -> nn.Module:
        """The head: of `embed_dim` features, of `num_classes` outputs."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head, initialised; none for 0 classes, when the network gives its features. Raises
        ValueError on another `global_pool` than the network was built with."""
        if global_pool not in (None, self.architecture.head):
            raise ValueError(
                f"`global_pool` must be {self.architecture.head!r}, with which the network was "
                f"built, but got {global_pool!r:.80}."
            )
        self.num_classes = num_classes
        if num_classes < 1:
            self.head = nn.Identity()
            return
        head = nn.Linear(self.num_features, num_classes).to(self.pos_embed)
        _init_linear(head)
        self.head = head

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised tokens (B, N, C) of images (B, in_chans, img_size, img_size)."""
        x = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.norm(self.blocks(x + self.pos_embed))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, num_classes) of tokens (B, N, C), or the pooled features (B, C)."""
        x = x[:, 0] if self.cls_token is not None else x.mean(dim=1)
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def _init_linear(layer: nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)


def build_model(architecture: Architecture, *, drop_path_rate: float = 0.0) -> VisionTransformer:
    """The network of `architecture`, initialised from torch's global generator.

    `drop_path_rate` grows linearly from 0 at the first block to its value at the last.
    """
    return VisionTransformer(architecture, drop_path_rate=drop_path_rate)


@register_model
def vit_frontier(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """timm's entry point: `timm.create_model("vit_frontier", architecture={...})`, or with
    "local-dir:FOLDER" and `pretrained=True` a network and its weights from `vit-frontier export`.

    `num_classes` (0: no head), `in_chans` and `img_size` go before those of `architecture`. Raises
    ValueError on an impossible architecture, TypeError on an option that these networks do not
    have, and timm's RuntimeError where there are no weights to load.
    """
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
        "first_conv": "patch_embed.proj" if a.stem == "patch" else "patch_embed.conv1",
        "classifier": "head",
    }
