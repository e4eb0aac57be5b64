"""ViTAS's attention against timm's with a head width and a scale of its own."""

import pytest
import torch
from timm.layers import Attention
from vectors import check_space, close

from space import Shape
from space.parts import Plain, Wide


def test_wide_attention_is_timms_with_the_scale_of_heads_of_the_tokens_width():
    torch.manual_seed(0)
    ours = Wide(num_heads=3, head_dim=5).build(Shape(None, 7, 0, 10)).double()
    theirs = Attention(10, 3, qkv_bias=True, attn_head_dim=5).double()
    theirs.load_state_dict(ours.state_dict())
    theirs.fused_attn, theirs.scale = False, 3**-0.5  # 10 // 3
    x = torch.randn(2, 7, 10, dtype=torch.float64)
    close(ours(x), theirs(x))
    _, _, v = ours.split(x)
    close(ours.joined(ours.attention_maps(x) @ v), theirs(x))


def test_a_space_of_wide_attention_is_built_as_it_is_counted():
    _, networks = check_space(
        head=["avg", "token"],
        num_heads=[2, 3],
        embed_dim=[16, 24],
        wide={"placement": "all", "head_dim": [4, 8, 12]},
        pooling={"stages": [0, 1]},
    )
    assert {a.stages[0].attention.width for a in networks} == {8, 12, 16, 24, 36}


def test_where_heads_share_the_width_of_the_tokens_it_is_plain_attention():
    shape = Shape(None, 5, 0, 8)
    assert Wide(num_heads=2, head_dim=4).key(shape) == Plain(num_heads=2).key(shape)
    assert Wide(num_heads=4, head_dim=4).key(shape) != Plain(num_heads=4).key(shape)


def test_more_heads_than_channels_are_refused():
    with pytest.raises(ValueError, match=r"`num_heads` \(=9\) must be at most `embed_dim` \(=8\)"):
        Wide(num_heads=9, head_dim=4).after(Shape(None, 5, 0, 8))
