"""Shuffle Transformer, block, stage and stem, against the released modules."""

import pytest
import torch
from torch import nn
from vectors import cases, check_counts, check_space, close, follows

from space import Architecture, Shape, Stage, build_model
from space.modules.conv_pool import PatchMerging
from space.modules.network import Block
from space.modules.norms import TokenBatchNorm
from space.parts import Merge, Mlp, Shuffle, Strided
from space.variant import Variant

BATCH = Variant(norm_layer="batch", act_layer="relu6", norm_eps=1e-5, final_norm=False)
NAMES = {
    "norm1.norm": "norm1",
    "attn.qkv": "attn.to_qkv",
    "attn.norm": "norm2",
    "attn.local": "local",
    "norm2.norm": "norm3",
}


def block(part, dim, grid, ratio, index=0):
    stage = Stage(depth=2, attention=part, mlp=Mlp(ratio=ratio))
    shape = Shape(tuple(grid), grid[0] * grid[1], 0, dim)
    made = Block(stage, shape, (), index=index, drop_path=0.0, variant=BATCH)
    counted = part.params(shape) + stage.mlp.params(shape) + 4 * dim
    assert counted == sum(p.numel() for p in made.parameters())
    return made


def released(name):
    module, _, field = name.rpartition(".")
    return f"{NAMES.get(module, module)}.{field}" if module != "attn" else name


def on_maps(module):
    """The module of tokens as one of maps (B, C, H, W)."""

    def forward(x):
        tokens = module(x.flatten(2).mT)
        side = round(tokens.shape[1] ** 0.5)
        return tokens.mT.unflatten(2, (side, side))

    return forward


@pytest.mark.parametrize(
    "case", [*cases("shuffle_block"), *cases("shuffle_stage", "shuffle_train")]
)
def test_a_block_equals_the_released_one(case):
    c = case["config"]
    dilate = "yes" if c["shuffle"] else "no"
    part = Shuffle(num_heads=c["num_heads"], size=c["window_size"], dilate=dilate)
    made = block(part, c["dim"], c["grid"], float(c["mlp_ratio"]))
    follows(made, case, released, forward=on_maps(made))


@pytest.mark.parametrize("case", cases("shuffle_stage", "stage"))
def test_a_merging_and_two_blocks_equal_the_released_stage(case):
    c = case["config"]
    side = case["x"].shape[-1]
    part = Shuffle(num_heads=c["num_heads"], size=c["window_size"])
    growth, half = c["out_dim"] / c["dim"], (side // 2, side // 2)
    merge = Merge(growth=growth, norm="batch")
    stage = nn.Sequential(
        PatchMerging(merge, Shape((side, side), side**2, 0, c["dim"])),
        *(block(part, c["out_dim"], half, c["mlp_ratio"], index) for index in range(c["layers"])),
    )

    def of_stage(name):
        number, _, rest = name.partition(".")
        if number == "0":
            return f"patch_partition.{rest}"
        return f"layers.0.{int(number) - 1}.{released(rest)}"

    follows(stage, case, of_stage, forward=on_maps(stage))


def test_the_stem_is_strided_convolutions_with_relu6():
    torch.manual_seed(0)
    ours = Strided(patch_size=4, dim=6).build(Shape((12, 12), 144, 0, 3)).double()
    oracle = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU6(),
        nn.Conv2d(32, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 6, 1),
    ).double()  # fmt: skip
    modules = (*ours.convs, *ours.norms, ours.proj)
    for mine, place in zip(modules, (0, 3, 1, 4, 6), strict=True):
        if isinstance(mine, nn.BatchNorm2d):
            nn.init.constant_(mine.weight, 9.0)  # so that some of it is above 6
        oracle[place].load_state_dict(mine.state_dict())
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    close(ours(x), oracle(x).flatten(2).mT)


@pytest.mark.parametrize("fields", [{}, {"fc_norm": True}, {"pre_norm": True, "final_norm": False}])
def test_networks_with_batch_norm_count_alike_and_learn(fields):
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, embed_dim=8, depth=2, num_heads=2, num_classes=3,
        variant={"norm_layer": "batch", "act_layer": "relu6", **fields},
    )  # fmt: skip
    assert Architecture.from_dict(a.to_dict()) == a
    check_counts(a)
    model = build_model(a)
    model(torch.randn(2, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    kinds = {type(m) for m in model.modules()}
    assert TokenBatchNorm in kinds
    assert nn.LayerNorm not in kinds


def test_the_last_norm_cannot_both_stand_late_and_be_left_out():
    with pytest.raises(ValueError, match=r"`fc_norm`.*but `final_norm` is False: leave out one"):
        Variant(fc_norm=True, final_norm=False)


def test_a_space_of_shuffled_windows_is_built_as_it_is_counted():
    _, networks = check_space(
        head=["avg", "token"],
        shuffle={
            "placement": ["none", "all", "suffix"],
            "size": [1, 2, 4],
            "dilate": ["no", "yes"],
        },
        merge={"stages": [0, 1]},
        stem=["patch", "strided"],
    )
    assert any(a.blocks_of("shuffle") and a.blocks_of("plain") for a in networks)
    assert {a.stem.kind for a in networks} == {"patch", "strided"}


def test_windows_of_one_token_or_of_all_are_one_network_however_they_lie():
    shape = Shape((4, 4), 16, 0, 8)
    keys = [
        Shuffle(num_heads=1, size=s, dilate=d).key(shape) for s in (1, 2, 4) for d in ("no", "yes")
    ]
    assert keys[0] == keys[1]
    assert keys[2] != keys[3]
    assert keys[4] == keys[5]
