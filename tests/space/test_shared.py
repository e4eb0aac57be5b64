"""Shared attention against the equations written a second time."""

import pytest
import torch
from vectors import cases, check_space, close, compare, load

from space import Architecture, Shape, Stage, build_model
from space.modules.network import Block, Blocks
from space.parts import Mlp, Plain, Pool, Shared


class Rows(Blocks):
    """Blocks that keep what each of them gave."""

    def forward(self, x):
        self.seen = []
        hooks = [b.register_forward_hook(lambda *a: self.seen.append(a[-1])) for b in self]
        out = super().forward(x)
        for hook in hooks:
            hook.remove()
        return out


@pytest.mark.parametrize("case", cases("psvit_sharing"))
def test_blocks_that_share_maps_equal_the_equations(case):
    c = case["config"]
    prefix = int(c["class_token"])
    shape, blocks = Shape(None, c["tokens"] - prefix, prefix, c["dim"]), []
    span = c["share"].index(False, 1) if False in c["share"][1:] else len(c["share"])
    stage = Stage(depth=span, attention=Shared(num_heads=c["num_heads"], span=span),
                  mlp=Mlp(ratio=2.0))  # fmt: skip
    for first in range(0, len(c["share"]), span):
        for index in range(span):
            pools = ((Pool(), shape),) if first + index in c["pool_after"] else ()
            blocks.append(Block(stage, shape, pools, index=index, drop_path=0.0))
            shape = Pool().after(shape) if pools else shape
    module = Rows(*blocks, mask_from=None)
    positions = [key for key in module.state_dict() if "pos_embed" in key]
    for key in positions:
        torch.nn.init.zeros_(module.get_parameter(key))
    load(module, case, name=lambda name: f"blocks.{name}", also=positions)
    compare(module, case, name=lambda name: f"blocks.{name}")
    for ours, theirs in zip(module.seen, case["block_outputs"], strict=True):
        close(ours, theirs)


def test_a_space_of_shared_attention_is_built_as_it_is_counted():
    space, networks = check_space(
        shared={"placement": ["none", "all", "suffix"], "span": [2, 3]},
        reattention={"placement": ["none", "suffix"]},
        pooling={"stages": [0, 1]},
        depth=4,
    )
    pooled = space.decode({"shared": "all", "pooling_stages": 0, "pool_stages": 1,
                           "pool_1_after": 1})  # fmt: skip
    assert [stage.depth for stage in pooled.stages] == [2, 2]
    assert any(a.blocks_of("shared") and a.blocks_of("reattention") for a in networks)


def stages(*depths, part):
    return tuple(Stage(depth=d, attention=part, mlp=Mlp(ratio=2.0)) for d in depths)


def test_a_map_ends_with_its_stage():
    column = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=4, num_heads=2)
    part = Shared(num_heads=2, span=4)
    one, two = (column.replace(stages=stages(*depths, part=part)) for depths in ((4,), (2, 2)))
    every = column.replace(stages=stages(4, part=Shared(num_heads=2, span=2)))
    assert one.key() != two.key() == every.key()
    plain = column.replace(stages=stages(1, 1, 1, 1, part=part))
    assert plain.key() == column.replace(stages=stages(4, part=Plain(num_heads=2))).key()
    assert Architecture.from_dict(two.to_dict()) == two


def test_gradients_of_a_block_that_reuses_a_map_reach_its_owner():
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=2, num_classes=3)
    model = build_model(a.replace(stages=stages(2, part=Shared(num_heads=2)))).train()
    torch.nn.init.zeros_(model.blocks[0].attn.proj.weight)
    model(torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert model.blocks[0].attn.qkv.weight.grad[:16].abs().sum() > 0
    assert not hasattr(model.blocks[1].attn, "qkv")


def test_an_impossible_span_is_refused():
    with pytest.raises(ValueError, match="`span` must be an integer from 2"):
        Shared(num_heads=1, span=1)
