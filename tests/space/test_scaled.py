"""LSA, L2 attention and position-aware scaling against the released modules and the equations."""

import pytest
import torch
from vectors import SMALL, cases, check_space, close, compare, load

from space import Architecture, SearchSpace, Shape, build_model
from space.modules.attention import attention_maps
from space.modules.scaled import L2Attention, LocalitySelfAttention
from space.parts import L2, LSA, PAAS, Plain


@pytest.mark.parametrize("case", cases("lsa"))
def test_lsa_equals_the_released_module(case):
    names = {
        "scales": "scale",
        "qkv.weight": "to_qkv.weight",
        "proj.weight": "to_out.0.weight",
        "proj.bias": "to_out.0.bias",
    }
    config = case["config"]
    module = LSA(num_heads=config["heads"]).build(Shape(None, 10, 0, config["dim"]))
    torch.nn.init.zeros_(module.qkv.bias)
    load(module, case, name=lambda name: names[name], also=["qkv.bias"])
    compare(module, case, name=lambda name: names.get(name, name))
    _, _, v = module.split(case["x"])
    close(module.joined(module.attention_maps(case["x"]) @ v), case["y"])


@pytest.mark.parametrize("case", cases("paas"))
def test_position_aware_scaling_equals_the_released_module(case):
    config = case["config"]
    module = PAAS(num_heads=config["num_heads"]).build(Shape((4, 4), 16, 0, config["dim"]))
    compare(load(module, case), case)


def test_l2_attention_is_a_softmax_of_distances():
    torch.manual_seed(0)
    module, x = L2Attention(12, 3).double(), torch.randn(2, 7, 12, dtype=torch.float64)
    q, v = (layer(x).view(2, 7, 3, 4).transpose(1, 2) for layer in (module.q, module.v))
    maps = (-torch.cdist(q, q).square() / 4**0.5).softmax(-1)
    close(module.attention_maps(x), maps)
    close(module(x), module.proj((maps @ v).transpose(1, 2).reshape(2, 7, 12)))
    everyone = torch.ones(2, 7, dtype=torch.float64)
    torch.testing.assert_close(module(x, everyone), module(x), rtol=0, atol=1e-5)


def test_lsa_begins_as_attention_without_the_diagonal_and_works_for_one_token():
    module, x = LocalitySelfAttention(8, 2), torch.randn(2, 5, 8)
    maps = module.attention_maps(x)
    assert maps.diagonal(dim1=-2, dim2=-1).abs().max() == 0
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 5))
    assert module.scales.tolist() == [0.5, 0.5]
    assert module(x[:, :1]).isfinite().all()


def test_a_space_of_competing_attention_is_built_as_it_is_counted():
    space, networks = check_space(
        head=["avg", "token"],
        reattention={"placement": ["none", "all"], "scale": [False, True]},
        lsa={"placement": ["none", "suffix"]},
        l2={"placement": ["none", "suffix"]},
        paas={"placement": ["none", "free"]},
        pooling={"stages": [0, 1], "op": ["avg"]},
        depth=3,
    )
    kinds = {stage.attention.kind for a in networks for stage in a.stages}
    assert kinds == {"plain", "reattention", "lsa", "l2", "paas"}
    three = {"reattention": "all", "lsa": "suffix", "lsa_last": 2, "l2": "suffix", "l2_last": 1}
    a = space.decode({**three, "pooling_stages": 0})
    assert [stage.attention.kind for stage in a.stages] == ["reattention", "lsa", "l2"]
    assert {gene: space.encode(a)[gene] for gene in three} == three


def test_of_two_kinds_of_attention_the_later_one_stays_and_each_network_counts_once():
    tables = {
        "reattention": {"placement": ["none", "all"]},
        "l2": {"placement": ["none", "suffix"]},
    }
    space = SearchSpace.from_dict({**SMALL, "depth": 3, **tables})
    assert space.size() == 2 * 4 - 1  # where L2 attention is everywhere, the other is nowhere
    a = space.decode({"reattention": "all", "l2": "suffix", "l2_last": 3})
    assert space.encode(a)["reattention"] == "none"


def test_lsa_is_left_out_behind_pruning_and_scaling_where_the_grid_is_lost():
    space, _ = check_space(
        lsa={"placement": ["none", "all"]},
        paas={"placement": ["none", "all"]},
        pruning={"stages": [0, 1], "keep": 0.5},
        depth=2,
    )
    a = space.decode({"lsa": "all", "pruning_stages": 1, "pruning_1_after": 0})
    assert [place.stage.attention.kind for place in a.walk()] == ["plain", "plain"]
    assert [part.kind for _, part, _ in a.after_blocks()] == ["pruning"]
    assert a in space


@pytest.mark.parametrize("part", [LSA(num_heads=2), L2(num_heads=2), PAAS(num_heads=2)])
def test_maps_of_every_block_can_be_seen(part):
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=2, num_classes=3)
    a = a.replace(stages=tuple(type(s)(depth=2, attention=part, mlp=s.mlp) for s in a.stages))
    maps = attention_maps(build_model(a), torch.randn(2, 3, 8, 8))
    assert [tuple(m.shape) for m in maps] == [(2, 2, 16, 16)] * 2


def test_scaling_is_refused_where_the_grid_is_lost():
    with pytest.raises(ValueError, match=r"needs tokens whose place is known.*put it before"):
        PAAS(num_heads=1).after(Shape(None, 9, 0, 8))
    assert Plain(num_heads=1).after(Shape(None, 9, 0, 8)).tokens == 9
