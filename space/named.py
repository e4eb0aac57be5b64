"""Architectures that papers and timm have names for, at 224 pixels and 1,000 classes."""

from __future__ import annotations

import math

from space.architecture import Architecture
from space.flat import Pool
from space.parts import (
    PAAS,
    RVT,
    ConvPool,
    DwMlp,
    EViT,
    Merge,
    Mlp,
    Overlap,
    Patch,
    Plain,
    Pooled,
    Pruning,
    Relative,
    Shuffle,
    Strided,
    ToMe,
    Wide,
)
from space.rules import did_you_mean, show
from space.stage import Stage


def _deit(embed_dim: int, num_heads: int) -> Architecture:
    return Architecture(
        img_size=224,
        patch_size=16,
        embed_dim=embed_dim,
        depth=12,
        num_heads=num_heads,
        head="token",
    )


def _hvt(embed_dim: int, num_heads: int, pool_every: int | None) -> Architecture:
    """HVT with a 3/2 max-pool after blocks 0, pool_every, 2 pool_every, ...; None: no pool."""
    after = range(0, 12, pool_every) if pool_every else ()
    return Architecture(
        img_size=224,
        patch_size=16,
        embed_dim=embed_dim,
        depth=12,
        num_heads=num_heads,
        pools=tuple(Pool(after=block) for block in after),
    )


def _deepvit(embed_dim: int, depth: int, mixing: int, *, released_small: bool) -> Architecture:
    """DeepViT with Re-attention in the last `mixing` blocks; -S and -L as in the authors' code."""
    return Architecture(
        img_size=224,
        patch_size=16,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=12,
        mlp_ratio=3.0,
        reattention=tuple(range(depth - mixing, depth)),
        head="token",
        stem="conv" if released_small else "patch",
        reattention_scale=released_small and embed_dim == 396,
        residual_scale=0.5 if released_small else 1.0,
    )


def _dynamicvit(base: Architecture, keep: float) -> Architecture:
    """A DeiT whose tokens are pruned before blocks 3, 6 and 9, each time to `keep` of before."""
    attention, mlp = base.stages[0].attention, base.stages[0].mlp
    prunings = [Pruning(keep=keep**s, of=base.grid_tokens) for s in (1, 2, 3)]
    then: list[tuple[Pruning, ...]] = [*((pruning,) for pruning in prunings), ()]
    stages = tuple(Stage(depth=3, attention=attention, mlp=mlp, then=part) for part in then)
    return base.replace(stages=stages)


def _pit(
    embed_dim: int, num_heads: int, depths: tuple[int, ...] = (2, 6, 4), patch_size: int = 8
) -> Architecture:
    """PiT: overlapping patches, and between its stages a convolutional pool to twice the width."""
    last = len(depths) - 1
    stages = tuple(
        Stage(
            depth=depth,
            attention=Plain(num_heads=num_heads * 2**level),
            mlp=Mlp(ratio=4.0),
            then=(ConvPool(growth=2.0, divisor=embed_dim // num_heads),) if level < last else (),
        )
        for level, depth in enumerate(depths)
    )
    stem = Overlap(patch_size=patch_size, dim=embed_dim)
    return Architecture(img_size=224, stem=stem, stages=stages, head="token")


def _evit(base: Architecture, keep: float) -> Architecture:
    """A DeiT in which the blocks 3, 6 and 9 keep that share of their tokens and fuse the others."""
    attention, mlp = base.stages[0].attention, base.stages[0].mlp
    assert isinstance(attention, Plain)
    selecting = EViT(num_heads=attention.num_heads, keep=keep)
    kinds = [selecting if block in (3, 6, 9) else attention for block in range(12)]
    return base.replace(stages=tuple(Stage(depth=1, attention=kind, mlp=mlp) for kind in kinds))


def _tome(base: Architecture, r: int) -> Architecture:
    """A DeiT in which every block merges `r` tokens."""
    attention, mlp = base.stages[0].attention, base.stages[0].mlp
    assert isinstance(attention, Plain)
    block = Stage(depth=1, attention=ToMe(num_heads=attention.num_heads, r=r), mlp=mlp)
    return base.replace(stages=(block,) * base.depth)


def _autoformer(embed_dim: int, heads: str, ratios: str) -> Architecture:
    """The published subnets: heads of 64 in each block, and MLP ratios in halves. The release
    takes the mean of the patches where ours takes the class token: the cost is the same."""
    blocks = (
        Stage(depth=1, attention=Relative(num_heads=int(h, 16)), mlp=Mlp(ratio=int(r) / 2))
        for h, r in zip(heads, ratios, strict=True)
    )
    stem = Patch(patch_size=16, dim=embed_dim)
    return Architecture(img_size=224, stem=stem, stages=tuple(blocks), head="token")


def _rvt(
    embed_dim: int, num_heads: int, depths: tuple[int, ...], *, scaled: int = 0, plain: bool = False
) -> Architecture:
    """RVT: convolutions in the MLPs, a convolutional pool between stages, no positions, the mean
    before the last norm. `scaled`: how many blocks scale their attention by position; `plain`:
    MLPs without convolution."""
    stages, last = [], len(depths) - 1
    for level, depth in enumerate(depths):
        heads = num_heads * 2**level
        then = (ConvPool(growth=2.0),) if level < last else ()
        for block in range(depth):
            number = block + sum(depths[:level])
            attention = (PAAS if number < scaled else Plain)(num_heads=heads)
            mlp = Mlp() if plain else DwMlp(norm=True)
            after = then if block == depth - 1 else ()
            stages.append(Stage(depth=1, attention=attention, mlp=mlp, then=after))
    stem = RVT(patch_size=16, dim=embed_dim, positions=False)
    variant = {"fc_norm": True}
    return Architecture(img_size=224, stem=stem, stages=tuple(stages), head="avg", variant=variant)


def _shuffle(embed_dim: int, third: int) -> Architecture:
    """Shuffle Transformer: heads of 32, windows of 7; `third`: blocks of the third level."""
    levels, variant = (2, 2, third, 2), {"norm_layer": "batch", "act_layer": "relu6"}
    stages = tuple(
        Stage(
            depth=depth,
            attention=Shuffle(num_heads=embed_dim * 2**level // 32, size=7),
            mlp=Mlp(),
            then=(Merge(growth=2.0, norm="batch"),) if level < 3 else (),
        )
        for level, depth in enumerate(levels)
    )
    return Architecture(
        img_size=224,
        stem=Strided(patch_size=4, dim=embed_dim, positions=False),
        stages=stages,
        head="avg",
        variant={**variant, "norm_eps": 1e-5, "final_norm": False},
    )


def _vitas(embed_dim: int, blocks: str) -> Architecture:
    """The published subnets, blocks "heads-qkv-hidden" in units of 144: the width of queries, keys
    and values together, and that of the MLP."""
    stages = []
    for block in blocks.split():
        heads, qkv, hidden = map(int, block.split("-"))
        attention = Wide(num_heads=heads, head_dim=48 * qkv // heads)
        mlp = Mlp(ratio=math.nextafter(144 * hidden / embed_dim, math.inf))  # rounded down
        stages.append(Stage(depth=1, attention=attention, mlp=mlp))
    stem = Patch(patch_size=16, dim=embed_dim)
    return Architecture(
        img_size=224, stem=stem, stages=tuple(stages), head="token", variant={"norm_eps": 1e-5}
    )


def _mvitv2(depth: int, wider: tuple[int, ...]) -> Architecture:
    """MViTv2: in the blocks `wider` a quarter of the queries stays, twice as wide; keys and values
    are pooled to one size in all."""
    blocks, heads, kv_stride = [], 1, 4
    for block in range(depth):
        grows = 2 if block in wider else 1
        heads, kv_stride = heads * grows, kv_stride // grows or 1
        attention = Pooled(num_heads=heads, q_stride=grows, kv_stride=kv_stride, growth=grows)
        blocks.append(Stage(depth=1, attention=attention, mlp=Mlp(ratio=4.0)))
    stem = Overlap(patch_size=4, dim=96, kernel_size=7, padding=3, positions=False)
    return Architecture(img_size=224, stem=stem, stages=tuple(blocks), head="avg")


NAMED: dict[str, Architecture] = {
    "deit_tiny": _deit(192, 3),
    "deit_small": _deit(384, 6),
    "deit_base": _deit(768, 12),
    "hvt_ti_1": _hvt(192, 3, 12),
    "hvt_s_0": _hvt(384, 6, None),
    "hvt_s_1": _hvt(384, 6, 12),
    "hvt_s_2": _hvt(384, 6, 6),
    "hvt_s_3": _hvt(384, 6, 4),
    "hvt_s_4": _hvt(384, 6, 3),
    "deepvit_16b": _deepvit(384, 16, 16, released_small=False),
    "deepvit_24b": _deepvit(384, 24, 24, released_small=False),
    "deepvit_32b": _deepvit(384, 32, 32, released_small=False),
    "deepvit_s": _deepvit(396, 16, 5, released_small=True),
    "deepvit_l": _deepvit(420, 32, 12, released_small=True),
    "pit_ti": _pit(64, 2),
    "pit_xs": _pit(96, 2),
    "pit_s": _pit(144, 3),
    "pit_b": _pit(256, 4, depths=(3, 6, 4), patch_size=7),
    "dynamicvit_deit_256": _dynamicvit(_deit(256, 4), 0.7),
    "dynamicvit_deit_small": _dynamicvit(_deit(384, 6), 0.7),
    "dynamicvit_deit_base": _dynamicvit(_deit(768, 12), 0.7),
    "evit_deit_small": _evit(_deit(384, 6), 0.7),
    "evit_deit_small_50": _evit(_deit(384, 6), 0.5),
    "tome_deit_small": _tome(_deit(384, 6), 13),
    "autoformer_tiny": _autoformer(192, "3333333333433", "7767668878787"),
    "autoformer_small": _autoformer(384, "6657555667767", "6767888888878"),
    "autoformer_base": _autoformer(576, "99999a99a9a99a", "77878776886867"),
    "vitas_a": _vitas(154, "12-2-7 16-5-4 6-2-9 16-7-5 16-8-7 16-6-8 16-10-9"),
    "vitas_b": _vitas(192, "16-2-6 16-3-4 16-3-7 12-8-6 12-7-5 12-6-4 16-3-9 6-6-6"),
    "vitas_c": _vitas(230, " ".join(["3-3-5"] * 12)),
    "vitas_e": _vitas(
        346, "16-5-5 16-7-6 16-6-7 6-6-7 3-4-5 12-9-9 6-9-8 12-5-1 12-10-6 6-4-7 12-8-9"
    ),
    "vitas_f": _vitas(
        307,
        "16-6-12 16-2-16 16-12-6 16-8-14 16-14-6 16-10-10 16-18-16 16-10-14 16-16-6 16-14-4 "
        "16-14-14 16-10-16 16-12-16",
    ),
    "rvt_tiny": _rvt(192, 6, (10, 2)),
    "rvt_small": _rvt(384, 6, (12,)),
    "rvt_base": _rvt(768, 12, (12,), plain=True),
    "rvt_tiny_plus": _rvt(192, 6, (10, 2), scaled=10),
    "rvt_small_plus": _rvt(384, 6, (12,), scaled=5),
    "shuffle_tiny": _shuffle(96, 6),
    "shuffle_small": _shuffle(96, 18),
    "shuffle_base": _shuffle(128, 18),
    "mvitv2_tiny": _mvitv2(10, (1, 3, 8)),
    "mvitv2_small": _mvitv2(16, (1, 3, 14)),
}


def named(name: str) -> Architecture:
    """The architecture of that name. Raises ValueError with the nearest name."""
    if name not in NAMED:
        raise ValueError(f"Unknown architecture {show(name)}{did_you_mean(name, NAMED)}")
    return NAMED[name]
