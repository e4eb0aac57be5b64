"""Windows against Shuffle Transformer's block and the equations of Glance-and-Gaze."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from vectors import SMALL, cases, check_space, compare, load

from space import SearchSpace, Shape, Stage
from space.modules.network import Block
from space.parts import Mlp, Window


class ShuffleBlock(nn.Module):
    """Shuffle Transformer's block around our attention: BatchNorm, a depth-wise convolution."""

    def __init__(self, attention, dim, grid, size):
        super().__init__()
        self.grid = grid
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(dim) for _ in range(3))
        self.attn = attention
        self.local = nn.Conv2d(dim, dim, size, padding=size // 2, groups=dim, bias=False)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Conv2d(dim, 2 * dim, 1), nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x):
        tokens = self.norm1(x).flatten(2).transpose(1, 2)
        x = x + self.attn(tokens).transpose(1, 2).unflatten(2, self.grid)
        x = x + self.local(self.norm2(x))
        return x + self.mlp.fc2(F.relu6(self.mlp.fc1(self.norm3(x))))


@pytest.mark.parametrize("case", cases("shuffle_block"))
def test_windows_equal_those_of_the_released_block(case):
    c = case["config"]
    part = Window(
        num_heads=c["num_heads"], size=c["window_size"], dilate="yes" if c["shuffle"] else "no"
    )
    grid = tuple(c["grid"])
    attention = part.build(Shape(grid, grid[0] * grid[1], 0, c["dim"]))
    nn.init.zeros_(attention.qkv.bias)
    block = ShuffleBlock(attention, c["dim"], grid, c["window_size"])

    def released(name):
        return name.replace("attn.qkv", "attn.to_qkv")

    load(block, case, name=released, also=["attn.qkv.bias"])
    compare(block, case, name=released)


@pytest.mark.parametrize("case", cases("gg_block"))
def test_a_block_that_gazes_equals_the_equations(case):
    c = case["config"]
    (rows, columns), size = c["grid"], c["window_size"]
    part = Window(num_heads=c["num_heads"], size=size, dilate="yes", gaze=c["gaze_kernel"])
    shape = Shape((rows, columns), rows * columns, 0, c["dim"])
    block = Block(Stage(depth=1, attention=part, mlp=Mlp(ratio=2.0)), shape, (), index=0,
                  drop_path=0.0)  # fmt: skip
    block.norm1.eps = block.norm2.eps = c["norm_eps"]

    def derived(name):
        return name.removeprefix("attn.").removeprefix("mlp.")

    compare(load(block, case, name=derived), case, name=derived)
    assert part.params(shape) == sum(p.numel() for p in block.attn.parameters())


def test_a_space_of_windows_is_built_as_it_is_counted():
    space, networks = check_space(
        head=["avg", "token"],
        window={
            "placement": ["none", "all", "suffix"],
            "size": [2, 4],
            "dilate": ["no", "alternate"],
            "gaze": [0, 3],
        },
        pooling={"stages": [0, 1]},
    )
    assert any(a.blocks_of("window") and a.blocks_of("plain") for a in networks)
    a = space.decode({"window": "all", "pool_stages": 1, "head": "avg"})
    assert a.blocks_of("window") == ()  # the pool loses the grid
    assert len(list(a.after_blocks())) == 1


def test_alternating_windows_are_contiguous_and_dilated_in_turn():
    part = Window(num_heads=1, size=2, dilate="alternate")
    assert [part.at(i).dilate for i in range(3)] == ["no", "yes", "no"]
    near, far = (part.at(i).build(Shape((4, 4), 16, 0, 4)) for i in (0, 1))
    x = torch.zeros(1, 16, 4)
    x[0, 0] = 1.0
    for module, reached in ((near, {0, 1, 4, 5}), (far, {0, 2, 8, 10})):
        changed = (module(x) - module(torch.zeros(1, 16, 4))).abs().sum(-1)[0] > 1e-9
        assert set(changed.nonzero().flatten().tolist()) == reached


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape((6, 6), 36, 0, 8), r"`size` \(=4\).*divide the grid \(6, 6\): choose one of \[2, 3"),
        (Shape((7, 8), 56, 0, 8), r"divide the grid \(7, 8\): choose another patch_size"),
        (Shape((8, 8), 64, 1, 8), r'no place for the 1 class token.*choose head "avg"'),
        (Shape(None, 64, 0, 8), r"Windows need a grid.*put them before"),
    ],
)
def test_an_impossible_window_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        Window(num_heads=1, size=4).after(shape)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"window": {"size": [2, 3]}}, r'\[window\], but it cannot.*size.*=3.*Or add "none" to'),
        ({"window": {"size": 2}, "head": ["avg", "token"]}, "cannot stand in each: Windows leave"),
        ({"window": {"size": 2}, "pooling": {"stages": 1}}, "cannot stand in each: Windows need a"),
    ],
)
def test_a_space_that_asks_for_windows_where_none_can_stand_is_refused(tables, message):
    tables["window"]["placement"] = "all"
    with pytest.raises(ValueError, match=message):
        SearchSpace.from_dict({**SMALL, **tables})


def test_an_impossible_gaze_is_refused():
    with pytest.raises(ValueError, match="`gaze` must be 0 or an odd integer from 3 to 7, but got"):
        Window(num_heads=1, size=4, gaze=2)
