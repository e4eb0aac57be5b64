"""Pooled attention against the released blocks of MViT and MViTv2."""

import re

import pytest
import torch
from timm.layers import Mlp as TimmMlp
from torch import nn
from vectors import cases, check_space, close, compare, load

from space import Shape, Stage
from space.modules.network import Block
from space.parts import Mlp, Plain, Pooled


def pooled(config, version):
    def stride(side):
        return config[f"stride_{side}"][0] if config[f"stride_{side}"] else 1

    widens = config["dim_mul_in_att"]
    return Pooled(
        num_heads=config["num_heads"],
        q_stride=stride("q"),
        kv_stride=stride("kv"),
        growth=config["dim_out"] // config["dim"] if widens else 1,
        mode=config["mode"],
        version=version,
    )


def released(name):
    name = name.replace("attn.skip.", "proj.")
    return re.sub(r"pool_([qkv])\.(pool|norm)", r"\2_\1", name)


class WideningMlp(nn.Module):
    """The MLP of MViT's block before its width grows, whose shortcut is a layer on its input."""

    def __init__(self, dim, out):
        super().__init__()
        self.mlp, self.proj = TimmMlp(dim, 2 * dim, out), nn.Linear(dim, out)


@pytest.mark.parametrize("case", [*cases("mvit_v1_block"), *cases("mvit_v2_block")])
def test_a_block_equals_the_released_one(case):
    config = case["config"]
    rows, columns = config["hw"]
    shape = Shape((rows, columns), rows * columns, int(config["has_cls_embed"]), config["dim"])
    part = pooled(config, 2 if config["residual_pooling"] else 1)
    block = Block(Stage(depth=1, attention=part, mlp=Mlp(ratio=2.0)), shape, (), index=0,
                  drop_path=0.0)  # fmt: skip
    assert part.after(shape).grid == tuple(case["hw_out"])
    if config["dim_out"] == part.after(shape).dim:
        compare(load(block, case, name=released), case, name=released)
        assert part.params(shape) == sum(p.numel() for p in block.attn.parameters())
        return
    widening = WideningMlp(config["dim"], config["dim_out"])
    block.mlp = widening.mlp
    block.proj = widening.proj
    load(block, case, name=released)

    def run(x):
        normed = block.norm1(x)
        x = block.attn.shortcut(x, normed) + block.attn(normed)
        x = block.norm2(x)
        return block.proj(x) + block.mlp(x)

    compare(block, case, run=run, name=released)


def test_the_blocks_of_mvitv2_tiny_cost_what_the_released_network_does():
    shape, flops, params = Shape((56, 56), 56 * 56, 0, 96), 0, 0
    for block in range(10):
        strides = {0: (1, 4), 1: (2, 2), 2: (1, 2), 3: (2, 1), 8: (2, 1)}
        q, kv = strides.get(block, (1, 1))
        heads = {0: 1, 1: 2, 2: 2}.get(block, 4 if block < 8 else 8)
        part, mlp = Pooled(num_heads=heads, q_stride=q, kv_stride=kv, growth=q), Mlp(ratio=4.0)
        inside = part.after(shape)
        flops += part.flops(shape) + mlp.flops(inside)
        params += part.params(shape) + mlp.params(inside) + 2 * shape.dim + 2 * inside.dim
        shape = inside
    stem, head = 56 * 56 * 7 * 7 * 3 * 96, 768 * 1000
    assert flops + stem + head == 4_676_957_952
    assert round((params + 7 * 7 * 3 * 96 + 96 + 2 * 768 + 769 * 1000) / 1e4) == 2417


def test_residual_pooling_leaves_the_class_token_as_it_is():
    torch.manual_seed(0)
    shape = Shape((4, 4), 16, 1, 8)
    attention = Pooled(num_heads=2, kv_stride=1).build(shape).double()
    x = torch.randn(1, 17, 8, dtype=torch.float64)
    q, k, v = attention.split(x)
    q, k, v = (pool(t, (4, 4)) for pool, t in
               ((attention.pool_q, q), (attention.pool_k, k), (attention.pool_v, v)))  # fmt: skip
    maps = (q[:, :, :1] * attention.scale @ k.transpose(-2, -1)).softmax(-1)
    close(attention(x)[:, :1], attention.joined(maps @ v))


def test_a_space_of_pooled_attention_is_built_as_it_is_counted():
    _, networks = check_space(
        head=["avg", "token"],
        pooled={
            "placement": ["none", "all", "free"],
            "q_stride": [1, 2],
            "growth": [1, 2],
            "version": [1, 2],
            "mode": ["conv", "avg"],
        },
        pooling={"stages": [0, 1]},
        depth=2,
    )
    widths = {a.embed_dim for a in networks}
    assert widths == {16, 32, 64}


def test_pooled_attention_is_refused_without_a_grid():
    with pytest.raises(ValueError, match=r"Pooled attention needs a grid.*put it before"):
        Pooled(num_heads=1).after(Shape(None, 9, 0, 8))
    with pytest.raises(ValueError, match=r"divisible by `num_heads` \(=3\)"):
        Pooled(num_heads=3).after(Shape((3, 3), 9, 0, 8))
    with pytest.raises(ValueError, match="`q_stride` must be an integer from 1 to 2"):
        Pooled(num_heads=1, q_stride=4)
    assert Plain(num_heads=1).after(Shape(None, 9, 0, 8)).grid is None


def test_an_odd_grid_has_a_place_for_every_pair():
    attention = Pooled(num_heads=1, q_stride=2, kv_stride=4).build(Shape((7, 5), 35, 0, 8))
    assert attention(torch.randn(1, 35, 8)).shape == (1, 4 * 3, 8)
