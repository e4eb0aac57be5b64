"""Merging (ToMe) and selecting (EViT) attention against the released modules."""

import pytest
import torch
from vectors import SMALL, cases, check_counts, check_space, close, compare, load

from space import (
    Architecture,
    Shape,
    Stage,
    build_model,
    count_flops,
    load_released_state_dict,
    named,
)
from space.modules.merging import MergingAttention
from space.modules.network import Block
from space.parts import EViT, Mlp, Plain, Pool, ToMe


def block(attention, config, prefix=1):
    shape = Shape(None, config["tokens"] - prefix, prefix, config["dim"])
    stage = Stage(depth=1, attention=attention, mlp=Mlp(ratio=float(config["mlp_ratio"])))
    return Block(stage, shape, (), index=0, drop_path=0.0)


@pytest.mark.parametrize("case", cases("tome", of="merge"))
def test_tokens_are_merged_as_in_the_released_matching(case):
    config, (_, tokens, dim) = case["config"], case["x"].shape
    prefix = int(config["class_token"])
    part = ToMe(num_heads=1, r=config["r"])
    module = MergingAttention(part, Shape(None, tokens - prefix, prefix, dim))
    carried = {}

    def run(x):
        carried["keys"] = case["metric"]
        if "size_before" in case:
            carried["sizes"] = case["size_before"]
        return module.between(x, carried)

    compare(module, case, run=run)
    close(carried["sizes"], case["size_after"])
    assert part.after(Shape(None, tokens - prefix, prefix, dim)).length == case["y"].shape[1]


@pytest.mark.parametrize("case", cases("tome", of="block"))
def test_a_block_of_proportional_attention_equals_the_released_one(case):
    config = case["config"]
    part = ToMe(num_heads=config["num_heads"], r=config["r"], proportional=config["prop_attn"])
    module, carried = load(block(part, config), case), {"sizes": case["size_before"]}
    compare(module, case, run=lambda x: module(x, None, carried))
    close(carried["sizes"], case["size_after"])


@pytest.mark.parametrize("case", cases("tome_model"))
def test_a_network_hands_the_sizes_on_as_the_released_one(case):
    c = case["config"]
    part = ToMe(num_heads=c["num_heads"], r=c["r"], proportional=True)
    column = Architecture(
        **{name: c[name] for name in ("img_size", "patch_size", "embed_dim", "depth")},
        **{name: c[name] for name in ("num_heads", "mlp_ratio", "num_classes")},
        head="token",
    )
    stages = (Stage(depth=1, attention=part, mlp=column.stages[0].mlp),) * c["depth"]
    a = column.replace(stages=stages)
    assert [*a.token_counts[1:], a.tokens_out] == case["tokens_after_block"]
    model = build_model(a).double()
    load_released_state_dict(model, case["state_dict"])
    compare(model, case)


@pytest.mark.parametrize("case", cases("evit"))
def test_a_block_that_selects_equals_the_released_one(case):
    config = case["config"]
    part = EViT(num_heads=config["num_heads"], keep=config["keep_rate"], fuse=config["fuse_token"])
    module = load(block(part, config), case)
    compare(module, case)
    assert part.after(Shape(None, 16, 1, 12)).length == case["tokens_out"]


def deit_small(attentions):
    a = named("deit_small")
    mlp, heads = a.stages[0].mlp, a.stages[0].attention.num_heads
    stages = tuple(
        Stage(depth=1, attention=attentions.get(i, Plain(num_heads=heads)), mlp=mlp)
        for i in range(12)
    )
    return a.replace(stages=stages)


@pytest.mark.parametrize(("keep", "flops"), [(0.7, 3_029_280_768), (0.5, 2_308_835_328)])
def test_evit_costs_what_the_released_networks_do(keep, flops):
    part = EViT(num_heads=6, keep=keep)
    assert count_flops(deit_small(dict.fromkeys((3, 6, 9), part))) == flops


def test_tome_costs_what_the_released_network_does():
    part = ToMe(num_heads=6, r=13)
    assert count_flops(deit_small(dict.fromkeys(range(12), part))) == 2_706_111_680


def test_a_space_of_merging_and_selecting_is_built_as_it_is_counted():
    _, networks = check_space(
        head=["avg", "token"],
        tome={"placement": ["none", "all", "suffix"], "r": [2, 9], "proportional": [False, True]},
        evit={"placement": ["none", "suffix"], "keep": [0.5, 0.9]},
        pooling={"stages": [0, 1]},
    )
    kinds = {stage.attention.kind for a in networks for stage in a.stages}
    assert kinds == {"plain", "tome", "evit"}


def test_a_network_whose_tokens_change_trains():
    column = Architecture(**{**SMALL, "depth": 4, "mlp_ratio": 2.0}, head="token")
    mlp = column.stages[0].mlp
    parts = (ToMe(num_heads=2, r=3), Plain(num_heads=2), ToMe(num_heads=2, r=3, proportional=True))
    stages = [Stage(depth=1, attention=part, mlp=mlp) for part in parts]
    stages[1:1] = [Stage(depth=1, attention=EViT(num_heads=2, keep=0.7), mlp=mlp, then=(Pool(),))]
    a = column.replace(stages=tuple(stages))
    assert a.token_counts == (17, 14, 6, 6)
    check_counts(a)
    model = build_model(a, drop_path_rate=0.1).train()
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_where_nothing_is_left_to_merge_the_network_is_the_plain_one():
    column = Architecture(**{**SMALL, "img_size": 2, "depth": 1, "mlp_ratio": 2.0}, head="token")
    mlp, key = column.stages[0].mlp, column.key()
    for part in (ToMe(num_heads=2, r=3), EViT(num_heads=2, keep=0.7)):
        assert column.replace(stages=(Stage(depth=1, attention=part, mlp=mlp),)).key() == key


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ({"kind": "evit", "num_heads": 2, "keep": 0.5}, 'EViT needs a class token.*head "token"'),
        ({"kind": "evit", "num_heads": 2, "keep": 1.0}, "`keep` must be a number above 0"),
        ({"kind": "tome", "num_heads": 2, "r": 0}, "`r` must be an integer from 1"),
        ({"kind": "tome", "num_heads": 3, "r": 1}, "must be divisible by `num_heads` \\(=3\\)"),
        ({"kind": "tome", "num_heads": 2, "r": 1}, "`depth` of a stage must be 1 .*one stage for"),
    ],
)
def test_an_impossible_part_is_refused(attention, message):
    values = Architecture(**{**SMALL, "depth": 2, "mlp_ratio": 2.0}).to_dict()
    values["stages"][0]["attention"] = attention
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict(values)


def test_the_pools_behind_merging_stay_and_a_kind_that_cannot_stand_is_left_out():
    space, _ = check_space(evit={"placement": ["none", "all"]}, head=["avg", "token"])
    assert space.decode({"evit": "all", "head": "avg"}).stages[0].attention.kind == "plain"
    assert space.decode({"evit": "all", "head": "token"}).stages[0].attention.kind == "evit"


def test_a_pool_ends_what_was_known_of_merged_tokens():
    column = Architecture(**{**SMALL, "depth": 2, "mlp_ratio": 2.0})
    part, mlp = ToMe(num_heads=2, r=3, proportional=True), column.stages[0].mlp
    first = Stage(depth=1, attention=part, mlp=mlp, then=(Pool(),))
    a = column.replace(stages=(first, Stage(depth=1, attention=part, mlp=mlp)))
    assert build_model(a)(torch.randn(1, 1, 8, 8)).shape == (1, 10)
