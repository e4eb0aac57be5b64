"""Pools on the grid after which tokens are wider: PiT's, against the authors' modules."""

import json

import numpy as np
import pytest
import torch
from vectors import cases, check_counts, check_enumerated, close, follows

from space import (
    Architecture,
    SearchSpace,
    Shape,
    Stage,
    build_model,
    count_flops,
    count_params,
    named,
)
from space.parts import ConvPool, Mlp, Overlap, Plain


@pytest.mark.parametrize("case", cases("pit_pool"))
def test_the_pool_equals_the_released_one(case):
    config = case["config"]
    rows, columns = config["grid"]
    shape = Shape((rows, columns), rows * columns, 1, config["in_feature"])
    pool = ConvPool(growth=config["out_feature"] / config["in_feature"]).build(shape)

    def forward(maps):
        tokens = torch.cat([case["cls_token"], maps.flatten(2).transpose(1, 2)], dim=1)
        out = pool(tokens)
        close(out[:, :1], case["cls_out"])
        return out[:, 1:].transpose(1, 2).view_as(case["y"])

    pool.double().load_state_dict(case["state_dict"])
    x = case["x"].clone().requires_grad_()
    y = forward(x)
    close(y, case["y"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    close(pool.conv.weight.grad, case["grads"]["conv.weight"])
    close(pool.conv.bias.grad, case["grads"]["conv.bias"])


def test_a_pool_without_class_token_equals_rvts():
    (param,) = cases("rvt_block", "pool")
    (case,) = param.values
    pool = ConvPool(growth=2.0).build(Shape((6, 6), 36, 0, 6))
    follows(
        pool,
        case,
        forward=lambda x: pool(x.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(case["y"]),
    )


@pytest.mark.parametrize("case", cases("pit_model"))
def test_the_network_equals_the_released_network(case):
    c = case["config"]
    stages = tuple(
        Stage(
            depth=depth,
            attention=Plain(num_heads=heads),
            mlp=Mlp(ratio=c["mlp_ratio"]),
            then=(ConvPool(),) if level < len(c["depth"]) - 1 else (),
        )
        for level, (depth, heads) in enumerate(zip(c["depth"], c["heads"], strict=True))
    )
    model = build_model(
        Architecture(
            img_size=c["image_size"],
            num_classes=c["num_classes"],
            stem=Overlap(patch_size=c["stride"], dim=c["base_dims"][0] * c["heads"][0]),
            stages=stages,
            head="token",
        )
    )
    names = {"patch_embed.proj": "patch_embed.conv"}
    number = 0
    for level, depth in enumerate(c["depth"]):
        for block in range(depth):
            names[f"blocks.{number}."] = f"transformers.{level}.blocks.{block}."
            number += 1
        names[f"blocks.{number - 1}.conv_pool."] = f"pools.{level}."

    def released(name):
        start = max((n for n in names if name.startswith(n)), key=len, default="")
        return names.get(start, "") + name[len(start) :]

    for tensors in (case["state_dict"], case["grads"]):
        tensors["pos_embed"] = tensors["pos_embed"].flatten(2).transpose(1, 2)
    follows(model, case, released)


@pytest.mark.parametrize(
    ("name", "flops", "params"),
    [
        ("pit_ti", 699_059_456, 4_847_272),
        ("pit_xs", 1_394_699_136, 10_618_888),
        ("pit_s", 2_870_796_096, 23_461_912),
        ("pit_b", 12_401_916_928, 73_764_840),
    ],
)
def test_named_models_cost_what_the_reference_computed(name, flops, params):
    assert count_flops(named(name)) == flops
    assert count_params(named(name)) == params


SPACE = {
    "img_size": 8,
    "patch_size": [1, 2],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": [12, 24],
    "depth": [1, 2, 3],
    "head_dim": [4, 12],
    "mlp_ratio": [2, 2.05],
    "head": ["avg", "token"],
    "reattention": {"placement": ["none", "suffix"]},
    "conv_pool": {"stages": [0, 1, 2], "growth": [1, 1.5, 2]},
}
FEW = {"head": "avg", "mlp_ratio": 2, "embed_dim": 12, "patch_size": 2, "reattention": {}}
CHANGES = [
    {"mlp_ratio": [2, 2.05], "depth": [1, 3]},
    {**FEW, "pooling": {"stages": [0, 1], "kernel_size": 2}},
    {**FEW, "local": {"placement": ["none", "all"]}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_space_of_growing_widths_enumerates_encodes_and_check_counts(change):
    space = SearchSpace.from_dict({**SPACE, **change})
    check_enumerated(space)


def test_networks_of_such_a_space_count_alike_and_learn():
    space = SearchSpace.from_dict(SPACE)
    rng = np.random.default_rng(1)
    drawn = [space.sample(rng) for _ in range(40)]
    wider = [a for a in drawn if a.embed_dim != a.start.dim]
    assert {a.embed_dim % a.start.dim != 0 for a in wider} == {False, True}
    for a in wider[:6]:
        assert Architecture.from_dict(json.loads(json.dumps(a.to_dict()))) == a
        check_counts(a)
        model = build_model(a)
        model(torch.randn(4, 1, 8, 8)).square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_heads_grow_with_the_width_and_stay_as_wide():
    space = SearchSpace.from_dict(SPACE)
    genes = {"depth": 3, "conv_pool_stages": 2, "conv_pool_1_after": 0, "conv_pool_2_after": 1}
    a = space.decode({**genes, "conv_pool_growth": 1.5, "head_dim": 4, "reattention": "suffix"})
    widths = [(place.shape.dim, place.stage.attention.num_heads) for place in a.walk()]
    assert widths == [(12, 3), (20, 5), (32, 8)]
    assert a.blocks_of("reattention") == (2,)


def test_no_pool_stands_behind_the_last_block():
    space = SearchSpace.from_dict({**SPACE, "depth": 2, "conv_pool": {"stages": [0, 1]}})
    networks = list(space.enumerate())
    assert {after for a in networks for after, _, _ in a.after_blocks()} == {0}


def staged(*then, grid=2, **image):
    plain = Architecture(
        img_size=grid, patch_size=1, embed_dim=8, depth=1, num_heads=1, **image
    ).to_dict()
    return {**plain, "stages": [{**plain["stages"][0], "then": list(then)}]}


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ([{"kind": "conv_pool", "growth": 0.5}], r"`growth` must be a number from 1 to 4"),
        ([{"kind": "conv_pool"}] * 2, r"must have 2 tokens or more, but 1 enters it"),
        ([{"kind": "pool", "kernel_size": 2}, {"kind": "conv_pool"}], r"needs tokens on a grid"),
        ([{"kind": "conv_pool", "divisor": 16384, "growth": 4}] * 2, r"2 tokens or more"),
    ],
)
def test_impossible_pools_are_refused(then, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict(staged(*then))


def test_a_width_beyond_all_limits_is_refused():
    wide = {"kind": "conv_pool", "divisor": 16384}
    with pytest.raises(ValueError, match=r"`embed_dim` must be an integer from 1 to 16384"):
        Architecture.from_dict(staged(wide, {**wide, "divisor": 1}, grid=8))


def test_heads_that_do_not_grow_with_the_width_are_in_no_space():
    space = SearchSpace.from_dict({**SPACE, "depth": 2, "conv_pool": {"stages": [0, 1]}})
    a = space.decode({"conv_pool_stages": 1, "conv_pool_growth": 2, "head_dim": 4})
    assert a in space
    first, last = a.stages
    other = a.replace(stages=(first, Stage(depth=1, attention=Plain(num_heads=3), mlp=last.mlp)))
    assert other not in space


def test_pools_that_must_be_there_do_not_go_with_pools_that_lose_the_grid():
    pooling = {"stages": [0, 1], "kernel_size": 2}
    with pytest.raises(ValueError, match=r"`conv_pool.stages` must have 0 beside \[pooling\]"):
        SearchSpace.from_dict({**SPACE, "pooling": pooling, "conv_pool": {"stages": 1}, "depth": 2})
