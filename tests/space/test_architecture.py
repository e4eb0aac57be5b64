import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from space import NAMED, Architecture, Pool, named

BASE = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3}


@st.composite
def architectures(draw):
    """Any architecture small enough to build in a test."""
    patch = draw(st.sampled_from([1, 2, 4]))
    grid = draw(st.integers(1, 5))
    depth, heads = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    tokens, pools = grid * grid, []
    for block in sorted(draw(st.sets(st.integers(0, depth - 1), max_size=3))):
        pool = Pool(
            after=block,
            kernel_size=draw(st.integers(1, 5)),
            stride=draw(st.integers(1, 3)),
            op=draw(st.sampled_from(["max", "avg"])),
        )
        left = pool.tokens_after(tokens)
        if 1 <= left < tokens:
            pools.append(pool)
            tokens = left
    return Architecture(
        img_size=patch * grid,
        patch_size=patch,
        in_chans=draw(st.integers(1, 4)),
        num_classes=draw(st.integers(1, 12)),
        embed_dim=heads * draw(st.integers(1, 6)),
        depth=depth,
        num_heads=heads,
        mlp_ratio=draw(st.sampled_from([1, 1.5, 2, 3.7, 4.0])),
        reattention=tuple(draw(st.sets(st.integers(0, depth - 1)))),
        pools=tuple(pools),
        head=draw(st.sampled_from(["avg", "token"])),
        stem="conv" if patch % 2 == 0 and draw(st.booleans()) else "patch",
        reattention_scale=draw(st.booleans()),
        residual_scale=draw(st.sampled_from([1.0, 0.5, 2])),
    )


@given(architectures())
def test_from_dict_reverses_to_dict_through_json(architecture):
    through = json.loads(json.dumps(architecture.to_dict()))
    assert Architecture.from_dict(through) == architecture


@pytest.mark.parametrize("name", NAMED)
def test_named_architectures_round_trip(name):
    assert Architecture.from_dict(named(name).to_dict()) == named(name)


def test_token_counts_follow_the_hvt_paper():
    assert named("hvt_s_4").token_counts == (196, *[97] * 3, *[48] * 3, *[23] * 3, *[11] * 2)
    assert named("hvt_s_4").tokens_out == 11
    assert named("deit_tiny").token_counts == (197,) * 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": 25}, r"`embed_dim` \(=25\) must be divisible by `num_heads` \(=3\).*24"),
        ({"img_size": 30}, r"`img_size` \(=30\) must be divisible by `patch_size` \(=4\).*choose"),
        ({"depth": 0}, r"`depth` must be an integer from 1 to 512, but got 0"),
        ({"depth": 10**9}, r"`depth` must be an integer"),
        ({"embed_dim": 3 * 10**9}, r"`embed_dim` must be an integer"),
        ({"depth": True}, r"`depth` must be an integer"),
        ({"depth": "12"}, r"`depth` must be an integer.*'12'"),
        ({"mlp_ratio": float("nan")}, r"`mlp_ratio` must be a number"),
        ({"mlp_ratio": -1}, r"`mlp_ratio` must be a number"),
        ({"mlp_ratio": 0.01}, r"`embed_dim \* mlp_ratio`"),
        ({"residual_scale": float("inf")}, r"`residual_scale` must be a number"),
        ({"reattention": [4]}, r"`reattention` must hold block indices from 0 to 3.*got 4"),
        ({"reattention": [1, 1]}, r"must name each block once"),
        ({"reattention": "all"}, r"`reattention` must be a list"),
        ({"pools": [{"after": 4}]}, r"`pool.after` must be a block index from 0 to 3.*got 4"),
        ({"pools": [{"after": 1}, {"after": 1}]}, r"at most one pool after a block"),
        ({"pools": [{"after": 1, "kernel_size": 65}]}, r"makes 0 of 64 tokens"),
        ({"pools": [{"after": 1, "kernel_size": 1, "stride": 1}]}, r"makes 64 of 64 tokens"),
        ({"pools": [{"after": 1, "kernel": 3}]}, r"Unknown pool key 'kernel'.*'kernel_size'"),
        ({"pools": [{"after": 1, "op": "mean"}]}, r"`pool.op` must be one of"),
        ({"head": "cls"}, r"`head` must be one of \['avg', 'token'\], but got 'cls'"),
        ({"head": ["avg"]}, r"`head` must be one of"),
        ({"stem": "conv", "patch_size": 1}, r"`patch_size` \(=1\) must be even"),
        ({"img_size": 4096, "patch_size": 1}, r"tokens\) must be at most"),
        ({"reattention_scale": 1}, r"`reattention_scale` must be true or false"),
        ({"embed_dims": 3}, r"Unknown architecture key 'embed_dims': did you mean 'embed_dim'\?"),
    ],
)
def test_impossible_values_are_refused_with_rule_value_and_fix(changes, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict({**BASE, **changes})


@pytest.mark.parametrize("values", [None, 3, [], "x", {}, {"depth": 3}])
def test_anything_but_a_full_table_is_refused(values):
    with pytest.raises(ValueError, match="architecture"):
        Architecture.from_dict(values)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*BASE, "pools", "reattention", "head", "stem"]), JSON))
def test_no_json_makes_anything_but_an_architecture_or_a_value_error(values):
    try:
        architecture = Architecture.from_dict({**BASE, **values})
    except ValueError:
        return
    assert Architecture.from_dict(architecture.to_dict()) == architecture


def test_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'deit_tiny'"):
        named("deit_tny")
