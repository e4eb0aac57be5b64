"""Spaces whose blocks have heads and MLP ratios of their own, as AutoFormer's."""

import numpy as np
import pytest
from vectors import check_enumerated

from space import SearchSpace, count_flops, named

OWN = {"per_block": ["num_heads", "mlp_ratio"], "num_heads": [1, 2], "mlp_ratio": [1, 2]}
SMALL = {
    "img_size": 8, "patch_size": 4, "embed_dim": [8, 16], "depth": [1, 2, 3],
    "in_chans": 1, "num_classes": 3,
}  # fmt: skip


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_a_published_subnet_is_in_its_space(size):
    space, network = SearchSpace.load(f"autoformer_{size}"), named(f"autoformer_{size}")
    assert space.decode(space.encode(network)).key() == network.key()
    assert count_flops(space.smallest()) < count_flops(network)
    assert SearchSpace.from_dict(space.to_dict()).genes == space.genes
    rng = np.random.default_rng(0)
    for drawn in (space.sample(rng) for _ in range(50)):
        assert space.decode(space.encode(drawn)).key() == drawn.key()


@pytest.mark.parametrize("own", [["num_heads"], ["mlp_ratio"], ["num_heads", "mlp_ratio"]])
@pytest.mark.parametrize(
    "table", [{}, {"reattention": {"placement": ["none", "suffix"]}, "pooling": {"stages": [0, 1]}}]
)
def test_every_network_is_counted_once(own, table):
    space = SearchSpace.from_dict({**SMALL, **OWN, "per_block": own, **table})
    check_enumerated(space)


def test_blocks_differ_in_what_is_asked_and_in_nothing_else():
    space = SearchSpace.from_dict({**SMALL, **OWN, "depth": 3, "per_block": ["mlp_ratio"]})
    a = space.decode({"mlp_ratio_2": 2, "num_heads": 2})
    assert [stage.mlp.ratio for stage in a.stages] == [1, 2, 1]
    assert {stage.attention.num_heads for stage in a.stages} == {2}
    alike = SearchSpace.from_dict({**SMALL, **OWN, "depth": 3, "per_block": ["num_heads"]})
    assert a not in alike


def test_what_cannot_be_of_each_block_is_refused():
    wrong = {**SMALL, "head_dim": 4, "per_block": ["num_heads"]}
    with pytest.raises(ValueError, match=r"`per_block` has num_heads, but .*give `num_heads`"):
        SearchSpace.from_dict(wrong)
    with pytest.raises(ValueError, match=r"`per_block` .* cannot stand beside \[conv_pool\]"):
        SearchSpace.from_dict({**SMALL, **OWN, "conv_pool": {"stages": [0, 1]}})
    with pytest.raises(ValueError, match="per_block"):
        SearchSpace.from_dict({**SMALL, **OWN, "per_block": ["depth"]})


def test_heads_need_not_divide_the_width_where_all_attention_has_its_own():
    odd = {**SMALL, **OWN, "embed_dim": [9], "num_heads": [2]}
    with pytest.raises(ValueError, match="9 is not divisible by 2"):
        SearchSpace.from_dict(odd)
    with pytest.raises(ValueError, match="9 is not divisible by 2"):
        SearchSpace.from_dict({**odd, "reattention": {"placement": "all"}})
    space = SearchSpace.from_dict({**odd, "num_heads": [1, 2], "relative": {"placement": "all"}})
    assert {s.attention.num_heads for a in space.enumerate() for s in a.stages} == {1, 2}
