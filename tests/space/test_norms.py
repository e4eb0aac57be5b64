"""Re-attention under other norms than an untouched BatchNorm, and at half precision."""

import copy

import pytest
import sync_norm
import torch
from timm.layers import FrozenBatchNormAct2d, freeze_batch_norm_2d
from torch import multiprocessing, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from space import Architecture, build_model, parts
from space.modules.reattention import ReAttention
from space.parts.part import Shape


def gathered(**options):
    """Re-attention with statistics of ten batches, its norm built with `options`."""
    torch.manual_seed(0)
    attn = ReAttention(24, 3).train()
    attn.var_norm = nn.BatchNorm2d(3, **options)
    if attn.var_norm.affine:
        nn.init.uniform_(attn.var_norm.weight)
        nn.init.uniform_(attn.var_norm.bias)
    for _ in range(10):
        attn(torch.randn(8, 17, 24))
    return attn


def as_modules(attn, x):
    """Convolution and norm run as modules."""
    qkv = attn.qkv(x).reshape(*x.shape[:2], 3, 3, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    maps = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    out = attn.var_norm(attn.reatten_matrix(maps)) @ v
    return attn.proj(out.transpose(1, 2).flatten(2))


def frozen(attn):
    attn.var_norm.eval()
    return attn


def frozen_by_timm(attn):
    attn = freeze_batch_norm_2d(attn)
    assert type(attn.var_norm).__name__ == "FrozenBatchNorm2d"  # torchvision's
    return attn


def frozen_with_activation(attn):
    state = attn.var_norm.state_dict()
    del state["num_batches_tracked"]
    attn.var_norm = FrozenBatchNormAct2d(3)  # and timm's ReLU behind it
    attn.var_norm.load_state_dict(state)
    return attn


def fused(attn):
    attn.eval()
    attn.reatten_matrix = fuse_conv_bn_eval(attn.reatten_matrix, attn.var_norm)
    attn.var_norm = nn.Identity()
    return attn.train()


def unfrozen_alone(attn):
    attn.eval().var_norm.train()
    return attn


FROZEN = frozen, frozen_by_timm, frozen_with_activation


@pytest.mark.parametrize("changed", [*FROZEN, fused, unfrozen_alone, nn.Module.eval])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}]
)
def test_another_norm_does_what_it_does_as_a_module(changed, options):
    if changed in (*FROZEN[1:], fused) and options:
        pytest.skip("a norm with statistics and weights")
    ours = changed(gathered(**options))
    theirs = copy.deepcopy(ours)
    x, given = torch.randn(2, 8, 17, 24).unbind()
    outs = []
    for module, forward in ((ours, ours), (theirs, lambda x: as_modules(theirs, x))):
        out = forward(x)
        (out * given).sum().backward()
        outs.append(out)
        module.grads = {name: p.grad for name, p in module.named_parameters()}
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-4, atol=1e-4)
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, theirs.get_buffer(name), rtol=1e-4, atol=1e-6)
    for name, grad in ours.grads.items():
        if name != "reatten_matrix.bias" and grad is not None:
            torch.testing.assert_close(grad, theirs.grads[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("changed", FROZEN)
def test_the_maps_and_the_statistics_of_a_frozen_norm_stay(changed):
    attn = changed(gathered())
    before = {name: buffer.clone() for name, buffer in attn.named_buffers()}
    x = torch.randn(2, 17, 24)
    maps = attn.attention_maps(x)
    attn(x)
    assert maps.shape == (2, 3, 17, 17)
    assert all(torch.equal(buffer, before[name]) for name, buffer in attn.named_buffers())


def test_sync_batch_norm_takes_its_statistics_from_all_processes(tmp_path):
    other = multiprocessing.get_context("spawn").Process(
        target=sync_norm.one_process, args=(1, str(tmp_path))
    )
    other.start()
    sync_norm.one_process(0, str(tmp_path))
    other.join()
    alone = sync_norm.sharp()
    out = alone(torch.cat(sync_norm.halves()))
    out.square().sum().backward()
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for state, _, _ in found:
        torch.testing.assert_close(state, alone.state_dict())
    torch.testing.assert_close(torch.cat([o for _, o, _ in found]), out)
    for name, p in alone.named_parameters():
        if name != "reatten_matrix.bias":
            summed = found[0][2][name] + found[1][2][name]
            torch.testing.assert_close(summed, p.grad, rtol=1e-7, atol=1e-7)


ATTENTION = (
    parts.Plain(num_heads=3), parts.ReAttention(num_heads=3), parts.LSA(num_heads=3),
    parts.L2(num_heads=3), parts.PAAS(num_heads=3), parts.Shared(num_heads=3),
    parts.Window(num_heads=3, size=2), parts.ToMe(num_heads=3, r=3), parts.Pooled(num_heads=3),
    parts.EViT(num_heads=3, keep=0.5), parts.Relative(num_heads=3, head_dim=8),
    parts.Shuffle(num_heads=3, size=2), parts.Wide(num_heads=3, head_dim=4),
)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("part", ATTENTION, ids=lambda part: part.kind)
def test_every_kind_of_attention_trains_at_half_precision(part, dtype):
    torch.manual_seed(0)
    shape = Shape((4, 4), 16, 1 if part.kind == "evit" else 0, 24)
    attn = part.build(shape).to(dtype).train()
    x = torch.randn(4, shape.length, 24, dtype=dtype, requires_grad=True)
    told = ({},) if getattr(attn, "carries", False) else ()
    out = attn(x, *told)
    out = attn.between(out, told[0] if told else {}) if hasattr(attn, "between") else out
    assert out.dtype == dtype
    out.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in (x, *attn.parameters()))
    if hasattr(attn, "attention_maps"):
        assert attn.attention_maps(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_whole_networks_train_at_half_precision(dtype):
    torch.manual_seed(0)
    a = Architecture(
        img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, reattention=(1, 2)
    )
    first, *rest = a.stages
    pruned = a.replace(
        stages=(
            type(first)(
                depth=1,
                attention=first.attention,
                mlp=first.mlp,
                then=(parts.Pruning(keep=0.5, of=16),),
            ),
            *rest,
        )
    )
    for network in (a, pruned):
        model = build_model(network).to(dtype).train()
        loss = model(torch.randn(4, 3, 16, 16).to(dtype)).float().sum()
        sum(model.losses(), loss).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
