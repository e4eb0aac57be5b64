"""Re-attention and pooling against the authors' released modules."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

import space
from space import Architecture, Pool, build_model, parts
from space.modules.reattention import ReAttention

FOLDER = Path(os.environ.get("VIT_FRONTIER_REFERENCE", Path(__file__).parent.parent / "reference"))
TOLERANCE = 1e-9
SHAPE = ("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads")


def cases(name):
    loaded = torch.load(FOLDER / f"{name}.pt", weights_only=True)["cases"]
    return [pytest.param(case, id=f"{name}-{case['name']}") for case in loaded]


def close(actual, expected):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max().item() <= TOLERANCE


def matches(module, case):
    """Output, input and parameter gradients, and BatchNorm buffers equal the released module's."""
    module = module.double()
    space.load_released_state_dict(module, case["state_dict"])
    module.train(case["mode"] == "train")
    x = case["x"].clone().requires_grad_()
    y = module(x)
    close(y, case["y"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    grads = {n.replace("pool.pos_embed", "pos_embed"): p.grad for n, p in module.named_parameters()}
    for name, grad in case["grads"].items():
        close(grads[name], grad)
    buffers = module.state_dict()
    for name, value in (case.get("state_after") or {}).items():
        close(buffers[name].double(), value.double())


def block_architecture(config, **changes):
    return Architecture(
        **{
            "img_size": 4,
            "patch_size": 1,
            "num_classes": 10,
            "embed_dim": config["dim"],
            "depth": 1,
            "num_heads": config["num_heads"],
            "mlp_ratio": config.get("mlp_ratio", 4.0),
            "reattention": (0,) if config.get("apply_transform") else (),
            "reattention_scale": bool(config.get("transform_scale")),
            "residual_scale": config["scale_adjustment"] if config.get("re_atten") else 1.0,
            **changes,
        }
    )


@pytest.mark.parametrize("case", cases("reattention"))
def test_reattention_equals_the_released_module(case):
    attn = build_model(block_architecture(case["config"])).blocks[0].attn
    matches(attn, case)


@pytest.mark.parametrize("case", [c for c in cases("reattention") if "T1" in c.id])
def test_reattention_maps_equal_the_released_maps(case):
    attn = build_model(block_architecture(case["config"])).blocks[0].attn.double()
    space.load_released_state_dict(attn, case["state_dict"])
    attn.train(case["mode"] == "train")
    before = {name: buffer.clone() for name, buffer in attn.named_buffers()}
    close(attn.attention_maps(case["x"]), case["attn"])
    assert all(torch.equal(before[name], buffer) for name, buffer in attn.named_buffers())


@pytest.mark.parametrize("case", cases("deepvit_block"))
def test_deepvit_block_equals_the_released_block(case):
    matches(build_model(block_architecture(case["config"])).blocks[0], case)


@pytest.mark.parametrize("case", cases("hvt_block"))
def test_hvt_block_equals_the_released_block(case):
    config = case["config"]
    block = build_model(block_architecture(config)).blocks[0]
    if config["pool_kernel"]:
        pool = parts.Pool(kernel_size=config["pool_kernel"], stride=config["pool_stride"])
        block.pool = pool.build(parts.Shape(None, config["in_tokens"], 0, config["dim"]))
        block.after.append("pool")
    matches(block, case)


@pytest.mark.parametrize("case", cases("hvt_model"))
def test_hvt_equals_the_released_model(case):
    config = case["config"]
    after = range(0, config["depth"], config["pool_block_width"])
    kernel, stride = config["pool_kernel_size"], config["pool_stride"]
    architecture = Architecture(
        **{name: config[name] for name in SHAPE},
        mlp_ratio=config["mlp_ratio"],
        pools=tuple(Pool(after=b, kernel_size=kernel, stride=stride) for b in after),
    )
    matches(build_model(architecture), case)


@pytest.mark.parametrize("case", cases("deepvit_model"))
def test_deepvit_equals_the_released_model(case):
    config = case["config"]
    mixing = tuple(i for i, mixes in enumerate(config["apply_transform"]) if mixes)
    architecture = Architecture(
        **{name: config[name] for name in SHAPE},
        mlp_ratio=config["mlp_ratio"],
        reattention=mixing,
        reattention_scale=config["transform_scale"],
        residual_scale=config["scale_adjustment"],
        stem="conv" if config["use_cnn_embed"] else "patch",
        head="token",
    )
    matches(build_model(architecture), case)
    model = build_model(architecture).double()
    space.load_released_state_dict(model, case["state_dict"])
    model.train(case["mode"] == "train")
    for ours, theirs in zip(space.attention_maps(model, case["x"]), case["attns"], strict=True):
        close(ours, theirs)


class PlainReAttention(nn.Module):
    """The textbook form, with the convolution and the BatchNorm run as such."""

    def __init__(self, attn: ReAttention):
        super().__init__()
        self.attn = attn

    def forward(self, x):
        a, (b, n, c) = self.attn, x.shape
        q, k, v = a.qkv(x).reshape(b, n, 3, a.num_heads, a.head_dim).permute(2, 0, 3, 1, 4)
        maps = (q @ k.transpose(-2, -1) * a.head_dim**-0.5).softmax(-1)
        maps = a.var_norm(a.reatten_matrix(maps)) * a.map_scale
        return a.proj((maps @ v).transpose(1, 2).reshape(b, n, c))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    ("heads", "tokens", "scale"), [(1, 1, False), (2, 5, True), (6, 17, False)]
)
def test_folded_reattention_equals_convolution_and_batchnorm(
    training, momentum, heads, tokens, scale
):
    torch.manual_seed(heads)
    ours = ReAttention(heads * 4, heads, scale_maps=scale).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    nn.init.uniform_(ours.var_norm.running_var, 0.5, 2.0)
    nn.init.normal_(ours.var_norm.running_mean)
    ours.var_norm.momentum = momentum
    plain = PlainReAttention(ReAttention(heads * 4, heads, scale_maps=scale).double())
    plain.attn.load_state_dict(ours.state_dict())
    plain.attn.var_norm.momentum = momentum
    ours.train(training)
    plain.train(training)
    weights = torch.randn(3, tokens, heads * 4, dtype=torch.float64)
    for seed in range(2):
        torch.manual_seed(seed)
        x = torch.randn(3, tokens, heads * 4, dtype=torch.float64)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = ours(a), plain(b)
        close(y, z)
        (y * weights).sum().backward()
        (z * weights).sum().backward()
        close(a.grad, b.grad)
    for p, q in zip(ours.parameters(), plain.attn.parameters(), strict=True):
        close(p.grad, q.grad)
    for name, buffer in ours.named_buffers():
        close(buffer.double(), plain.attn.get_buffer(name).double())


def test_reattention_in_bf16_stays_near_float32_while_attention_is_uniform():
    torch.manual_seed(0)
    attn = ReAttention(64, 4)
    nn.init.normal_(attn.qkv.weight, std=0.02)
    x = torch.randn(8, 50, 64)
    exact = attn(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = attn(x)
    error = ((rounded.float() - exact).norm() / exact.norm()).item()
    assert error < 0.02


def test_a_state_dict_of_another_architecture_is_refused_by_name():
    model = build_model(space.named("deit_tiny").replace(depth=2, img_size=32))
    other = build_model(space.named("deit_tiny").replace(depth=1, img_size=64))
    with pytest.raises(ValueError, match=r"missing=.*blocks\.1.*pos_embed \(1, 17, 192\)"):
        space.load_released_state_dict(model, other.state_dict())
