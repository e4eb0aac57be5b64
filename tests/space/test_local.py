"""Depth-wise convolutions in blocks, against the authors' modules and timm's."""

import json

import pytest
import torch
from timm.models.pvt_v2 import MlpWithDepthwiseConv
from torch import nn
from vectors import cases, check_counts, check_enumerated, close, follows

from results.drawing import block_drawing
from results.words import marks
from space import Architecture, SearchSpace, Shape, Stage, build_model, count_flops
from space.modules.network import Block
from space.parts import DwMlp, Local, Mlp, Plain


@pytest.mark.parametrize("case", cases("small_data", "dw_shortcut"))
def test_blocks_with_a_local_branch_equal_the_released_ones(case):
    config, grid = case["config"], tuple(case["config"]["grid"])
    stage = Stage(
        depth=1,
        attention=Plain(num_heads=config["heads"]),
        mlp=Mlp(ratio=config["mlp_dim"] / config["dim"]),
        local=Local(),
    )
    shape = Shape(grid, grid[0] * grid[1], int(config["class_token"]), config["dim"])
    blocks = nn.Sequential(
        *(Block(stage, shape, (), index=0, drop_path=0.0) for _ in range(config["depth"]))
    )
    for block in blocks:
        block.norm1.eps = block.norm2.eps = 1e-5
        nn.init.zeros_(block.attn.qkv.bias)
    names = {
        "norm1": "layers.{}.0.norm", "attn.qkv": "layers.{}.0.fn.to_qkv",
        "attn.proj": "layers.{}.0.fn.to_out.0", "norm2": "layers.{}.1.norm",
        "mlp.fc1": "layers.{}.1.fn.net.0", "mlp.fc2": "layers.{}.1.fn.net.3",
        "local.conv": "convs.{}", "local.norm": "batchnorms.{}",
    }  # fmt: skip

    def released(name):
        block, _, rest = name.partition(".")
        module, _, field = rest.rpartition(".")
        there = f"{names[module].format(block)}.{field}"
        return None if there.endswith("to_qkv.bias") else there

    follows(blocks, case, released)


class MaskedAttention(nn.Module):
    """RVT's: the scores times the sigmoid of a learned matrix."""

    def __init__(self, dim, num_heads, tokens):
        super().__init__()
        self.num_heads = num_heads
        self.att_mask = nn.Parameter(torch.empty(num_heads, tokens, tokens))
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5 * self.att_mask.sigmoid()
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


@pytest.mark.parametrize("case", cases("rvt_block", "block_paas"))
def test_the_mlp_with_a_normed_convolution_equals_the_released_one(case):
    config = case["config"]
    side = round(config["tokens"] ** 0.5)
    stage = Stage(
        depth=1,
        attention=Plain(num_heads=config["num_heads"]),
        mlp=DwMlp(ratio=config["mlp_ratio"], norm=True),
    )
    shape = Shape((side, side), config["tokens"], 0, config["dim"])
    block = Block(stage, shape, (), index=0, drop_path=0.0)
    block.attn = MaskedAttention(config["dim"], config["num_heads"], config["tokens"])
    follows(block, case)


def test_the_mlp_with_a_plain_convolution_equals_timms_and_leaves_a_class_token_apart():
    torch.manual_seed(0)
    theirs = MlpWithDepthwiseConv(8, 24).double()
    ours = DwMlp(ratio=3.0).build(Shape((3, 4), 12, 1, 8)).double()
    state = {name.replace("dwconv.dwconv", "dwconv"): t for name, t in theirs.state_dict().items()}
    ours.load_state_dict(state)
    x = torch.randn(2, 13, 8, dtype=torch.float64)
    out = ours(x)
    close(out[:, 1:], theirs(x[:, 1:], [3, 4]))
    close(out[:, :1], ours.fc2(nn.functional.gelu(ours.fc1(x[:, :1]))))


def staged(**parts):
    plain = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=5, embed_dim=8, depth=2, num_heads=2,
        head="token",
    ).to_dict()  # fmt: skip
    return {**plain, "stages": [{**plain["stages"][0], **parts}]}


@pytest.mark.parametrize(
    "parts",
    [
        {"local": {"kind": "local"}},
        {"local": {"kind": "local", "kernel_size": 5}},
        {"mlp": {"kind": "dwmlp", "ratio": 1.5}},
        {"mlp": {"kind": "dwmlp", "norm": True}, "local": {"kind": "local", "kernel_size": 7}},
    ],
)
def test_networks_count_alike_and_learn(parts):
    a = Architecture.from_dict(staged(**parts))
    assert Architecture.from_dict(json.loads(json.dumps(a.to_dict()))) == a
    check_counts(a)
    model = build_model(a)
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_branch_is_9_multiplications_a_token_and_channel():
    with_branch, without = (Architecture.from_dict(staged(**p)) for p in (
        {"local": {"kind": "local"}}, {}))  # fmt: skip
    assert count_flops(with_branch) - count_flops(without) == 2 * 9 * 16 * 8


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"local": {"kind": "local", "kernel_size": 4}}, "must be an odd integer from 3 to 15"),
        ({"local": {"kind": "local", "size": 3}}, "Unknown local key 'size'"),
        ({"mlp": {"kind": "dwmlp", "norm": 1}}, "`norm` must be true or false"),
    ],
)
def test_impossible_convolutions_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict(staged(**parts))


@pytest.mark.parametrize("part", [{"local": {"kind": "local"}}, {"mlp": {"kind": "dwmlp"}}])
def test_no_convolution_stands_where_the_grid_is_lost(part):
    values = staged()
    (stage,) = values["stages"]
    pooled = {**stage, "then": [{"kind": "pool"}]}
    with pytest.raises(ValueError, match=r"needs tokens on a grid, but the grid of these 7 tokens"):
        Architecture.from_dict({**values, "stages": [pooled, {**stage, **part}]})


SPACE = {
    "img_size": 8,
    "patch_size": [1, 2],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": [16, 24],
    "depth": [2, 3],
    "head_dim": 8,
    "mlp_ratio": 2,
    "reattention": {"placement": ["none", "suffix"]},
    "pooling": {"stages": [0, 1], "kernel_size": 2},
    "local": {"placement": ["none", "all", "suffix"], "kernel_size": [3, 5]},
    "dwmlp": {"placement": ["none", "all"]},
}


@pytest.mark.parametrize(
    "change", [{}, {"local": {"placement": "free"}}, {"dwmlp": {"placement": "suffix"}}]
)
def test_a_space_with_pools_and_convolutions_enumerates_encodes_and_check_counts(change):
    space = SearchSpace.from_dict({**SPACE, **change})
    check_enumerated(space)


def test_all_means_every_block_that_is_still_on_the_grid():
    space = SearchSpace.from_dict(SPACE)
    a = space.decode({"depth": 3, "pool_stages": 1, "pool_1_after": 1, "local": "all"})
    assert [stage.local for stage in a.stages for _ in range(stage.depth)] == [
        Local(), Local(), None
    ]  # fmt: skip
    assert a.token_counts == (64, 64, 32)


def test_the_drawing_marks_them():
    a = Architecture.from_dict(staged(local={"kind": "local"}, mlp={"kind": "dwmlp"}))
    assert ">LD</text>" in block_drawing(a)
    assert [(mark.letter, words) for mark, words, _ in marks([a])] == [
        ("L", "local 3×3 block, marked L"),
        ("", "plain block"),
        ("D", "conv MLP ×4 block, marked D"),
    ]
