"""Relative attention against subnets of the released AutoFormer."""

import pytest
import torch
from vectors import cases, check_space, close

from space import Architecture, Shape, Stage, build_model
from space.modules.network import Block
from space.parts import Mlp, Relative


def sliced(case, *, block, dim, heads, mlp):
    """The weights of a block of the subnet: leading slices, of qkv every third row."""
    source, width = case["state_dict"], heads * case["config"]["head_dim"]
    hidden = int(dim * mlp)

    def of(name):
        return source[f"blocks.{block}.{name}"]

    rows = of("attn.qkv.weight")[: 3 * width, :dim]
    weights = {
        "attn.qkv.weight": torch.cat([rows[i::3] for i in range(3)]),
        "attn.qkv.bias": of("attn.qkv.bias")[: 3 * width],
        "attn.proj.weight": of("attn.proj.weight")[:dim, :width],
        "attn.proj.bias": of("attn.proj.bias")[:dim],
        "mlp.fc1.weight": of("fc1.weight")[:hidden, :dim],
        "mlp.fc1.bias": of("fc1.bias")[:hidden],
        "mlp.fc2.weight": of("fc2.weight")[:dim, :hidden],
        "mlp.fc2.bias": of("fc2.bias")[:dim],
    }
    for ours, theirs in (("norm1", "attn_layer_norm"), ("norm2", "ffn_layer_norm")):
        weights |= {f"{ours}.{k}": of(f"{theirs}.{k}")[:dim] for k in ("weight", "bias")}
    for side in "kv":
        for axis in "vh":
            name = f"attn.rel_pos_embed_{side}.embeddings_table_{axis}"
            weights[name] = of(name)
    return weights


def blocks(case):
    c, subnet = case["config"], case["config"]["subnet"]
    side, dim = c["img_size"] // c["patch_size"], subnet["embed_dim"]
    shape = Shape((side, side), side * side, 1, dim)
    for i in range(subnet["depth"]):
        heads, mlp = subnet["num_heads"][i], subnet["mlp_ratio"][i]
        part = Relative(num_heads=heads, head_dim=c["head_dim"], reach=c["max_relative_position"])
        stage = Stage(depth=1, attention=part, mlp=Mlp(ratio=mlp))
        block = Block(stage, shape, (), index=0, drop_path=0.0).double()
        block.norm1.eps = block.norm2.eps = 1e-5
        block.load_state_dict(sliced(case, block=i, dim=dim, heads=heads, mlp=mlp))
        assert part.params(shape) == sum(p.numel() for p in block.attn.parameters())
        yield block


@pytest.mark.parametrize("case", cases("autoformer_subnet"))
def test_blocks_equal_those_of_the_released_subnets(case):
    c, dim = case["config"], case["config"]["subnet"]["embed_dim"]
    source = case["state_dict"]
    patches = torch.nn.functional.conv2d(
        case["x"],
        source["patch_embed_super.proj.weight"][:dim],
        source["patch_embed_super.proj.bias"][:dim],
        stride=c["patch_size"],
    )
    tokens = patches.flatten(2).transpose(1, 2)
    first = source["cls_token"][..., :dim].expand(len(tokens), -1, -1)
    x = torch.cat([first, tokens], dim=1) + source["pos_embed"][..., :dim]
    for block, theirs in zip(blocks(case), case["block_outputs"], strict=True):
        x = block(x)
        close(x, theirs)
    norm = torch.nn.functional.layer_norm(
        x, (dim,), source["norm.weight"][:dim], source["norm.bias"][:dim], 1e-5
    )
    pooled = norm[:, 1:].mean(1) if c["gp"] else norm[:, 0]
    close(pooled @ source["head.weight"][:, :dim].T + source["head.bias"], case["y"])


def test_maps_are_those_that_are_applied():
    attention = Relative(num_heads=2, head_dim=8, reach=2).build(Shape((3, 3), 9, 1, 8)).double()
    x = torch.randn(2, 10, 8, dtype=torch.float64)
    maps, (_, _, v) = attention.attention_maps(x), attention.split(x)
    values = v[:, :, None] + attention.rel_pos_embed_v()  # (B, H, N, N, d)
    close(attention(x), attention.joined((maps[..., None] * values).sum(3)))


def test_a_space_of_relative_attention_is_built_as_it_is_counted():
    _, networks = check_space(
        head=["avg", "token"],
        relative={"placement": ["none", "all", "suffix"], "head_dim": [4, 16], "reach": 2},
        pooling={"stages": [0, 1]},
    )
    widths = {s.attention.width for a in networks for s in a.stages if s.attention.kind != "plain"}
    assert widths == {8, 32}


def test_relative_positions_are_refused_without_a_grid_and_need_no_heads_that_divide():
    with pytest.raises(ValueError, match=r"Relative positions need a grid.*put them before"):
        Relative(num_heads=1).after(Shape(None, 9, 0, 8))
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=1, num_heads=1, num_classes=3)
    part = Relative(num_heads=3, head_dim=5)
    a = a.replace(stages=(Stage(depth=1, attention=part, mlp=a.stages[0].mlp),))
    assert build_model(a)(torch.randn(1, 3, 8, 8)).shape == (1, 3)
