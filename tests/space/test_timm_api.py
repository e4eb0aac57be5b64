"""What timm offers of every Vision Transformer holds for ours."""

import copy
import json

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2

import space.model  # noqa: F401, registers the networks
from space import Architecture, Stage, build_model, count_flops, count_params, parts
from space.measure import measure_flops

A = {
    "img_size": 16,
    "patch_size": 4,
    "num_classes": 10,
    "embed_dim": 24,
    "depth": 4,
    "num_heads": 3,
}
POOLED = A | {"reattention": [2, 3], "pools": [{"after": 1}], "head": "token"}
MERGED = {
    "img_size": 16, "num_classes": 10, "stem": parts.Patch(patch_size=4, dim=24),
    "stages": tuple(
        Stage(depth=1, attention=parts.ToMe(num_heads=3, r=2), mlp=parts.Mlp(ratio=2.0))
        for _ in range(3)
    ),
}  # fmt: skip
PRUNED = {
    "img_size": 16, "num_classes": 10, "head": "token", "stem": parts.Patch(patch_size=4, dim=24),
    "stages": tuple(
        Stage(
            depth=2, attention=parts.Plain(num_heads=3), mlp=parts.Mlp(ratio=2.0),
            then=(parts.Pruning(keep=0.5**n, of=16),),
        )
        for n in (1, 2)
    ),
}  # fmt: skip
SHARED = {
    "img_size": 16, "num_classes": 10, "stem": parts.Patch(patch_size=4, dim=24),
    "stages": (
        Stage(depth=4, attention=parts.Shared(num_heads=3, span=2), mlp=parts.Mlp(ratio=2.0)),
    ),
}  # fmt: skip
KINDS = {
    "plain": A,
    "token": A | {"head": "token"},
    "reattention": A | {"reattention": [1, 2, 3]},
    "pooled": POOLED,
    "merged": MERGED,
    "pruned": PRUNED,
    "shared": SHARED,
}
KEEP_GRID = ("plain", "token", "reattention", "shared")


def made(kind, **options):
    torch.manual_seed(0)
    architecture = Architecture(**KINDS[kind]) if "stages" in KINDS[kind] else KINDS[kind]
    plain = architecture.to_dict() if isinstance(architecture, Architecture) else architecture
    return timm.create_model("vit_frontier", architecture=plain, **options)


def images(size=16, channels=3):
    return torch.randn(2, channels, size, size)


@pytest.mark.parametrize("kind", KINDS)
def test_intermediates_are_the_tokens_behind_blocks(kind):
    model, x, seen = made(kind).eval(), images(), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, args, out: seen.append(out))
    features = model.forward_features(x)
    behind, seen[:] = list(seen), []
    final, found = model.forward_intermediates(x, output_fmt="NLC", return_prefix_tokens=True)
    torch.testing.assert_close(final, features, rtol=0, atol=0)
    for out, one in zip(behind, found, strict=True):
        joined = torch.cat([one[1], one[0]], dim=1) if isinstance(one, tuple) else one
        torch.testing.assert_close(joined, out, rtol=0, atol=0)
    early = model.get_intermediate_layers(x, [0, -1], norm=True)
    skip = model.num_prefix_tokens
    torch.testing.assert_close(early[0], model.norm(behind[0])[:, skip:])
    torch.testing.assert_close(early[1], features[:, skip:])


@pytest.mark.parametrize("kind", KINDS)
def test_nchw_is_given_on_a_grid_and_refused_without(kind):
    model, x = made(kind).eval(), images()
    features = made(kind, features_only=True).eval()
    if kind in KEEP_GRID:
        assert [t.shape for t in features(x)] == [(2, 24, 4, 4)] * 3
        last = model.forward_intermediates(x, 1, output_fmt="NCHW", intermediates_only=True)[0]
        tokens = model.forward_intermediates(x, 1, output_fmt="NLC", intermediates_only=True)[0]
        assert torch.equal(last[:, :, 1, 2], tokens[:, 6])
    else:
        with pytest.raises(ValueError, match="`output_fmt` must be 'NLC' where the grid is lost"):
            model.forward_intermediates(x, output_fmt="NCHW")
        assert all(t.dim() == 3 for t in features(x))
        assert model.forward_intermediates(x)[1][-1].dim() == 3
    assert features.feature_info.channels() == [24] * 3
    assert features.feature_info.reduction() == [4] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_network_says_what_it_is(kind):
    whole, x = made(kind).eval(), images()
    taps = whole.forward_intermediates(x, output_fmt="NLC", intermediates_only=True)
    for index in range(len(taps)):
        model = copy.deepcopy(whole)
        assert model.prune_intermediate_layers([index]) == [index]
        found = model.forward_intermediates(x, [index], output_fmt="NLC", intermediates_only=True)
        torch.testing.assert_close(found[0], taps[index], rtol=0, atol=0)
        assert model.architecture.depth == len(model.blocks) == index + 1
        assert count_flops(model.architecture) == measure_flops(model, 16)
        assert count_params(model.architecture) == sum(p.numel() for p in model.parameters())
        model.train().forward_features(x).sum().backward()
        assert all(p.grad is not None for n, p in model.named_parameters() if ".pruning." not in n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 5])
def test_flops_follow_the_head(kind, number):
    model = made(kind)
    model.reset_classifier(number)
    other = made(kind, num_classes=number)
    for network in (model, other):
        assert network.architecture.num_classes == network.num_classes == number
        assert count_flops(network.architecture) == measure_flops(network, 16)
        assert count_params(network.architecture) == sum(p.numel() for p in network.parameters())
    text = json.dumps(model.architecture.to_dict())
    assert Architecture.from_dict(json.loads(text)) == model.architecture


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_changes_nothing(kind):
    grads = []
    for enable in (False, True):
        model = made(kind, drop_path_rate=0.3).train()
        model.set_grad_checkpointing(enable)
        torch.manual_seed(1)
        loss = model(torch.ones(2, 3, 16, 16)).square().sum()
        sum(model.losses(), loss).backward()
        grads.append({n: p.grad for n, p in model.named_parameters()} | model.state_dict())
    torch.testing.assert_close(grads[0], grads[1])


def test_rates_decay_by_layer():
    for extra in ({}, {"reattention": [2, 3], "pools": [{"after": 1}]}):
        model = timm.create_model("vit_frontier", architecture=A | extra)
        names = {id(p): name for name, p in model.named_parameters()}
        optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, layer_decay=0.5)
        scales = {names[id(p)]: g["lr_scale"] for g in optimizer.param_groups for p in g["params"]}
        for block in range(4):
            found = {s for name, s in scales.items() if name.startswith(f"blocks.{block}.")}
            assert found == {0.5 ** (4 - block)}
        assert {scales["pos_embed"], scales["patch_embed.proj.weight"]} == {0.5**5}
        assert (scales["norm.weight"], scales["head.weight"]) == (0.5, 1.0)


def test_the_pool_before_the_head_is_timms():
    model, x = made("pooled").eval(), images()
    tokens = model.forward_features(x)
    for name, pooled in {
        "token": tokens[:, 0], "avg": tokens[:, 1:].mean(1), "max": tokens[:, 1:].amax(1),
        "": tokens,
    }.items():  # fmt: skip
        model.reset_classifier(0, name)
        torch.testing.assert_close(model(x), pooled)
        assert made("pooled", global_pool=name).global_pool == name
    with pytest.raises(ValueError, match=r"`global_pool` must be 'avg', .* but got 'token'"):
        made("plain", global_pool="token")


@pytest.mark.parametrize("kind", ["plain", "token", "reattention", "pooled", "shared"])
def test_another_image_size_resamples_positions_as_timm_does(kind):
    model = made(kind).eval()
    expected = timm.layers.resample_abs_pos_embed(
        model.pos_embed, [8, 8], num_prefix_tokens=model.num_prefix_tokens
    )
    weights = copy.deepcopy(model.state_dict())
    kept = model.blocks[0].attn.proj.weight if kind != "shared" else model.norm.weight
    model.set_input_size(32)
    torch.testing.assert_close(model.pos_embed, expected)
    assert kept is (model.blocks[0].attn.proj.weight if kind != "shared" else model.norm.weight)
    assert model(images(32)).shape == (2, 10)
    assert count_flops(model.architecture) == measure_flops(model, 32)
    config = {"state_dict": weights, "num_classes": 10}
    loaded = made(kind, img_size=32, pretrained=True, pretrained_cfg=config).eval()
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())
    if kind == "pooled":
        before, after = weights["blocks.1.pool.pos_embed"], model.blocks[1].pool.pos_embed
        assert (before.shape[1], after.shape[1]) == (8, 32)
        assert torch.equal(before[:, 0], after[:, 0])
        assert torch.equal(before[:, 1], after[:, 1])


def test_what_was_learned_for_one_size_is_refused_at_another():
    stage = Stage(depth=2, attention=parts.PAAS(num_heads=3), mlp=parts.Mlp(ratio=2.0))
    stem = parts.Patch(patch_size=4, dim=24)
    model = build_model(Architecture(img_size=16, stem=stem, stages=(stage,)))
    with pytest.raises(ValueError, match=r"att_mask .* was learned for one size"):
        model.set_input_size(32)
    assert model.architecture.img_size == 16
    assert model(images()).shape == (2, 1000)


def test_timm_places_and_types_networks():
    model = made("pooled", device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.bfloat16)}
    model.requires_grad_(False)
    model.set_input_size(32)
    assert {(p.device.type, p.requires_grad) for p in model.parameters()} == {("meta", False)}


def test_weights_are_drawn_anew_after_to_empty():
    model = made("reattention", device="meta").to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(float("nan") if tensor.is_floating_point() else 7)
    model.init_weights()
    assert model(images()).isfinite().all()
    assert model.blocks[1].attn.var_norm.num_batches_tracked == 0


def test_every_name_that_timm_lists_can_be_created():
    for name in timm.list_models("vit_frontier*", include_tags=True):
        with torch.device("meta"):
            assert timm.create_model(name).num_classes == 1000
    assert timm.get_pretrained_cfg("vit_frontier").architecture == "vit_frontier"
    assert not timm.list_models("vit_frontier*", pretrained=True)
    told = timm.get_pretrained_cfg("vit_frontier").to_dict()  # as timm's own scripts hand it over
    assert made("plain", pretrained_cfg=told).architecture.img_size == 16


def test_pretrained_weights_go_to_other_channels():
    config = {"state_dict": made("plain").state_dict(), "num_classes": 10}
    model = made("plain", in_chans=1, num_classes=3, pretrained=True, pretrained_cfg=config).eval()
    assert model(images(channels=1)).shape == (2, 3)
    summed = config["state_dict"]["patch_embed.proj.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(model.patch_embed.proj.weight, summed)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_are_exported(kind):
    model, x = made(kind).eval(), images()
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "token", "reattention", "pooled", "shared"])
def test_fx_traces_networks(kind):
    from timm.models import GraphExtractNet

    model, x = made(kind).eval(), images()
    features = GraphExtractNet(model, ["blocks.0.mlp", "head"])
    torch.testing.assert_close(features(x)[1], model(x), rtol=1e-4, atol=1e-5)
    traced = torch.jit.trace(model, x)
    torch.testing.assert_close(traced(x), model(x), rtol=1e-4, atol=1e-5)


def test_torchscript_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match=r"use torch.compile, torch.export or torch.jit.trace"):
        torch.jit.script(made("plain"))
