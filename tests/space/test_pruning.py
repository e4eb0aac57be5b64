"""DynamicViT's token pruning against the authors' modules, and what it asks of a network."""

import os
from pathlib import Path

import pytest
import torch
from vectors import check_enumerated

from space import (
    Architecture,
    SearchSpace,
    Shape,
    build_model,
    count_flops,
    count_params,
    load_released_state_dict,
    measure_flops,
    named,
)
from space.modules.attention import PlainAttention
from space.modules.pruning import TokenPruning
from space.parts import Pruning

FOLDER = Path(os.environ.get("VIT_FRONTIER_REFERENCE", Path(__file__).parent.parent / "reference"))


def cases(*files):
    found = [
        case
        for file in files
        if (FOLDER / f"{file}.pt").exists()
        for case in torch.load(FOLDER / f"{file}.pt", weights_only=True)["cases"]
    ]
    return [pytest.param(case, id=case["name"]) for case in found if "config" in case]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def compare_gradients(model, case, names=lambda name: name):
    for name, parameter in model.named_parameters():
        if names(name) in case["grads"]:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            close(grad, case["grads"][names(name)])


PARTS = cases("dynamicvit_parts")


@pytest.mark.parametrize("case", [c for c in PARTS if "predictor" in c.id])
def test_the_predictor_equals_the_released_module(case):
    dim, tokens = case["config"]["embed_dim"], case["config"]["tokens"]
    pruning = Pruning(keep=0.5, of=tokens)
    module = TokenPruning(pruning, Shape(None, tokens, 0, dim)).double().eval()
    module.load_state_dict(case["state_dict"])
    x = case["x"].clone().requires_grad_()
    scores = module.scores(x, case["policy"][..., 0])
    close(scores, case["y"])
    (scores * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    compare_gradients(module, case)


@pytest.mark.parametrize("case", [c for c in PARTS if "attention" in c.id])
def test_masked_attention_equals_the_released_module(case):
    config = case["config"]
    module = PlainAttention(config["dim"], config["num_heads"], qkv_bias=True).double()
    module.load_state_dict(case["state_dict"])
    x = case["x"].clone().requires_grad_()
    y = module(x, case["policy"][..., 0])
    close(y, case["y"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    compare_gradients(module, case)


@pytest.mark.parametrize("case", [c for c in PARTS if "loss" in c.id])
def test_the_ratio_loss_equals_the_released_one(case):
    shares = [scores.mean(dim=1) for scores in case["scores"]]
    modules = []
    for share, keep in zip(shares, case["config"]["keep_ratio"], strict=True):
        module = TokenPruning(Pruning(keep=keep, of=10), Shape(None, 10, 0, 8))
        module._share = share
        modules.append(module)
    ours = torch.stack([module.loss() for module in modules]).mean()
    close(ours, case["config"]["ratio_weight"] * case["parts"]["ratio_sum"] / len(modules))
    assert modules[0].loss() is None


def pruned(config):
    plain = Architecture(
        **{name: config[name] for name in ("img_size", "patch_size", "embed_dim", "depth")},
        num_heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        num_classes=config["num_classes"],
        head="token",
    ).to_dict()
    stage, stages, first = plain["stages"][0], [], 0
    for end, keep in zip(
        [*config["pruning_loc"], config["depth"]], [*config["token_ratio"], None], strict=True
    ):
        then = [{"kind": "pruning", "keep": keep, "of": config["num_patches"]}] if keep else []
        stages.append({**stage, "depth": end - first, "then": then})
        first = end
    return Architecture.from_dict({**plain, "stages": stages})


@pytest.mark.parametrize("case", cases("dynamicvit_model", "dynamicvit_model_14x14"))
def test_the_network_equals_the_released_network(case):
    architecture = pruned(case["config"])
    model = build_model(architecture).double()
    load_released_state_dict(model, case["state_dict"])
    model.train(case["mode"] == "train")
    modules = [m for m in model.modules() if isinstance(m, TokenPruning)]
    for module, noise in zip(modules, case.get("gumbel_noise", [None] * 3), strict=False):
        module._noise = lambda scores, noise=noise: noise
    if case["mode"] == "eval":
        assert list(architecture.token_counts) == case["tokens_per_block"]
        assert [module.kept for module in modules] == case["config"]["num_keep"]
    x = case["x"].clone().requires_grad_()
    y = model(x)
    close(y, case["y"])
    if "decisions" in case:
        for loss, last in zip(model.losses(), [case["decisions"][-1]], strict=False):
            assert loss.ndim == 0
            assert last.shape == (x.shape[0], case["config"]["num_patches"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    ours = [n for n in model.state_dict() if ".pruning." in n]
    blocks = list(dict.fromkeys(n.partition(".pruning.")[0] for n in ours))

    def released(name):
        block, found, rest = name.partition(".pruning.")
        return f"score_predictor.{blocks.index(block)}.{rest}" if found else name

    compare_gradients(model, case, released)


def test_the_named_model_costs_what_the_reference_computed():
    network = named("dynamicvit_deit_small")
    assert count_flops(network) == 2_980_897_728
    assert count_params(network) == 22_774_414
    assert network.token_counts == (197,) * 3 + (138,) * 3 + (97,) * 3 + (68,) * 3


SPACE = {
    "img_size": 8,
    "patch_size": [1, 2],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": [16, 24],
    "depth": [2, 3],
    "head_dim": 8,
    "mlp_ratio": 2,
    "head": ["avg", "token"],
    "reattention": {"placement": ["none", "suffix"]},
    "pooling": {"stages": [0, 1], "kernel_size": [2, 3]},
    "pruning": {"stages": [0, 1, 2], "keep": [0.5, 0.7]},
}


def test_pools_and_pruning_in_one_space_enumerate_encode_and_count_alike():
    space = SearchSpace.from_dict(SPACE)
    check_enumerated(space)
    assert list(space.genes)[-4:] == ["pruning_stages", "pruning_1_after", "pruning_2_after",
                                      "pruning_keep"]  # fmt: skip


def test_flops_and_parameters_of_pruned_networks_are_those_of_the_built_ones():
    space = SearchSpace.from_dict(SPACE)
    pruned = [a for a in space.enumerate() if any(p.kind == "pruning" for _, p, _ in
              a.after_blocks())]  # fmt: skip
    for a in pruned[:: len(pruned) // 12]:
        model = build_model(a)
        assert measure_flops(model, a.img_size) == count_flops(a)
        assert sum(p.numel() for p in model.parameters()) == count_params(a)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ([{"kind": "pruning", "keep": 0.01, "of": 16}], r"leaves 0 of 16"),
        ([{"kind": "pruning", "keep": 1.5, "of": 16}], r"`keep` must be a number above 0"),
        ([{"kind": "pruning", "of": 16}], r"A pruning needs `keep`"),
        ([{"kind": "prune", "keep": 0.5}], r"Unknown kind 'prune': did you mean 'pruning'"),
        (
            [{"kind": "pruning", "keep": 0.5, "of": 16}, {"kind": "pool"}],
            r"What is done to tokens behind a part that masks.*pool is not",
        ),
    ],
)
def test_impossible_pruning_is_refused(then, message):
    values = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=1, num_heads=1).to_dict()
    values["stages"][0]["then"] = then
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict(values)


def test_a_pruned_network_trains_with_its_loss():
    a = Architecture.from_dict(
        {
            **Architecture(
                img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=1, in_chans=1
            ).to_dict()
        }
    )
    stage = a.stages[0].to_dict()
    stages = [
        {**stage, "depth": 1, "then": [{"kind": "pruning", "keep": 0.5, "of": 16}]},
        {**stage, "depth": 1},
    ]
    model = build_model(Architecture.from_dict({**a.to_dict(), "stages": stages})).train()
    model(torch.randn(4, 1, 8, 8))
    (loss,) = model.losses()
    loss.backward()
    assert model.blocks[0].pruning.in_conv[1].weight.grad.abs().sum() > 0
    assert model.losses() == []
    model.eval()
    model(torch.randn(4, 1, 8, 8))
    assert model.losses() == []
