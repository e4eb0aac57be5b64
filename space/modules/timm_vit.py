"""timm's plain `VisionTransformer` in our words: its architecture, and which of its options these
networks do not have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from timm.layers import Attention, LayerScale, Mlp, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from space.architecture import HEADS, Architecture
from space.parts import Mlp as MlpPart
from space.parts import Patch, Plain
from space.stage import Stage
from space.variant import Variant

ACTIVATIONS = {"GELU": "gelu", "GELU (tanh)": "gelu_tanh", "QuickGELU": "quick_gelu"}
Option = tuple[str, Any, Any]  # its name, what the network has, what it must have


def architecture_of(network: nn.Module) -> Architecture:
    """The architecture of a network of timm's, which may be on the meta device; of one without a
    head, with one class. Raises ValueError naming the option that these networks do not have."""
    if type(network) is not VisionTransformer:
        raise ValueError(
            f"it must be timm's plain VisionTransformer, but is a {type(network).__module__}."
            f"{type(network).__name__}: choose a DeiT, AugReg or other ViT without changes."
        )
    model: Any = network
    for name, found, held in _options(model):
        if found != held:
            raise ValueError(
                f"its `{name}` must be {held!r}, the only one that these networks have, but is "
                f"{found!r}: choose a pretrained network without it."
            )
    embed, first = model.patch_embed, model.blocks[0]
    dim, hidden = model.embed_dim, first.mlp.fc1.out_features
    ratio = hidden / dim
    ratio = ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)
    stage = Stage(
        depth=len(model.blocks),
        attention=Plain(num_heads=first.attn.num_heads),
        mlp=MlpPart(ratio=ratio),
        layer_scale=isinstance(first.ls1, LayerScale),
    )
    return Architecture(
        img_size=embed.img_size[0],
        in_chans=embed.proj.in_channels,
        num_classes=max(model.num_classes, 1),
        stem=Patch(patch_size=embed.patch_size[0], dim=dim),
        stages=(stage,),
        head=model.global_pool,
        variant=_variant(model),
        donor_blocks=tuple(range(len(model.blocks))),
    )


def _variant(model: Any) -> Variant:
    """The options that these networks can have from a donor. A bias that it lacks is one of zeros,
    which is learned."""
    first = model.blocks[0]
    return Variant(
        norm_eps=first.norm1.eps,
        act_layer=ACTIVATIONS[_activation(first.mlp.act)],
        qk_norm=_norm(first.attn.q_norm) is not None,
        pre_norm=_norm(model.norm_pre) is not None,
        fc_norm=_norm(model.fc_norm) is not None,
        class_token=model.has_class_token and model.global_pool == "avg",
        reg_tokens=model.num_reg_tokens,
    )


def _options(model: Any) -> Iterator[Option]:
    """Every option that changes what is computed, by timm's name, in the order of the network."""
    embed = model.patch_embed
    yield "embed_layer", type(embed).__name__, PatchEmbed.__name__
    yield "patch_size", tuple(embed.patch_size), (embed.patch_size[0],) * 2
    yield "img_size", tuple(embed.img_size), (embed.img_size[0],) * 2
    yield "embed_norm_layer", _norm(embed.norm), None
    yield "pos_embed", "none" if model.pos_embed is None else "learn", "learn"
    for block in model.blocks:
        yield from _options_of_block(block, model.blocks[0])
    norm = _norm(model.blocks[0].norm1)
    yield "pre_norm", _norm(model.norm_pre) or norm, norm
    pool = model.global_pool
    yield "global_pool", pool, pool if pool in HEADS else " or ".join(HEADS)
    yield "pool_include_prefix", model.pool_include_prefix, False
    yield "final_norm", _norm(model.norm) or _norm(model.fc_norm), norm


def _options_of_block(block: Any, first: Any) -> Iterator[Option]:
    yield "block_fn", type(block).__name__, Block.__name__
    attn, mlp = block.attn, block.mlp
    eps = getattr(first.norm1, "eps", None)
    for norm in (block.norm1, block.norm2):
        yield "norm_layer", _norm(norm), ("LayerNorm", eps)
    yield "attn_layer", type(attn).__name__, Attention.__name__
    qk_norm = _norm(first.attn.q_norm) and ("LayerNorm", eps)
    for norm in (attn.q_norm, attn.k_norm):
        yield "qk_norm", _norm(norm), qk_norm
    yield "scale_attn_norm", _norm(getattr(attn, "norm", None)) is not None, False
    yield "gated", getattr(attn, "gate", None) is not None, False
    yield "num_heads", attn.num_heads, first.attn.num_heads
    yield "attn_head_dim", attn.head_dim, attn.proj.out_features // attn.num_heads
    for scale in (block.ls1, block.ls2):
        yield "init_values", type(scale).__name__, type(first.ls1).__name__
    yield "mlp_layer", type(mlp).__name__, Mlp.__name__
    act = _activation(mlp.act)
    same = act in ACTIVATIONS and act == _activation(first.mlp.act)
    yield "act_layer", act, act if same else "GELU"
    yield "scale_mlp_norm", _norm(mlp.norm) is not None, False
    yield "mlp_ratio", mlp.fc1.out_features, first.mlp.fc1.out_features


def _norm(module: Any) -> tuple[str, Any] | None:
    """What kind of norm, and its eps; None if there is none."""
    if module is None or isinstance(module, nn.Identity):
        return None
    # timm's own LayerNorm and torch's compute the same.
    is_layer_norm = isinstance(module, nn.LayerNorm) and type(module).__name__ == "LayerNorm"
    name = "LayerNorm" if is_layer_norm else type(module).__name__
    return name, getattr(module, "eps", None)


def _activation(module: Any) -> str:
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return "GELU"
    name = type(module).__name__
    is_tanh = name == "GELUTanh" or getattr(module, "approximate", None) == "tanh"
    return "GELU (tanh)" if is_tanh else name
