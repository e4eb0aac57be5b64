import dataclasses
import itertools
import math
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import check_enumerated

from space import Architecture, Pool, SearchSpace, build_model, count_flops, count_params, named
from space.files import read_toml
from space.search_space import BUILT_IN_SPACES

SMALL = {
    "img_size": [8],
    "patch_size": [2, 4],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": [16, 32],
    "depth": [1, 2, 3],
    "head_dim": [8, 16],
    "mlp_ratio": [1, 2, 2.01],
    "head": ["avg", "token"],
    "reattention": {"placement": ["none", "all", "suffix"], "scale": [False, True]},
    "pooling": {
        "stages": [0, 1, 2],
        "kernel_size": [1, 2, 3],
        "stride": [1, 2],
        "op": ["max", "avg"],
    },
}
SPACES = {
    "small": SearchSpace.from_dict(SMALL),
    "free": SearchSpace.from_dict(
        {**SMALL, "reattention": {"placement": "free"}, "depth": [2, 3], "embed_dim": 16}
    ),
    "placed": SearchSpace.from_dict(
        {**SMALL, "pooling": {"stages": [1], "after": [0, 2], "kernel_size": 2}, "head_dim": 16}
    ),
    "deeper is cheaper": SearchSpace.from_dict(  # three pools need three blocks
        {
            **SMALL,
            "patch_size": [1],
            "depth": [2, 3],
            "pooling": {"stages": [0, 3], "kernel_size": [3, 4], "stride": [4]},
        }
    ),
    "conv": SearchSpace.from_dict(
        {**SMALL, "patch_size": [1, 2], "stem": ["patch", "conv"], "depth": 2}
    ),
}
LARGE = {name: SearchSpace.load(name) for name in BUILT_IN_SPACES}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_enumeration_size_keys_and_genes_agree(space):
    networks = list(space.enumerate())
    keys = {space.key(a) for a in networks}
    assert len(networks) == len(keys) == space.size()
    # All of a small space, some of a larger one: an odd step meets every choice.
    some = networks[:: len(networks) // 1000 | 1]
    assert [space.key(space.decode(space.encode(a))) for a in some] == list(map(space.key, some))
    assert all(a in space for a in some)
    assert min(map(count_flops, networks)) == count_flops(space.smallest())
    assert space.smallest() in space
    rng = np.random.default_rng(0)
    assert all(space.key(space.sample(rng)) in keys for _ in range(300))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_leanest_has_the_fewest_parameters_within_every_budget(space):
    counts = sorted((count_flops(a), count_params(a)) for a in space.enumerate())
    fewest, best = {}, math.inf
    for flops, params in counts:
        fewest[flops] = best = min(best, params)
    for flops in [*itertools.islice(fewest, 300), *list(fewest)[300::50], 10**21]:
        leanest = space.leanest(flops)
        assert leanest in space
        assert count_flops(leanest) <= flops
        assert count_params(leanest) == fewest.get(flops, best)
    assert space.leanest(counts[0][0] - 1) is None


@pytest.mark.parametrize("space", LARGE.values(), ids=LARGE)
def test_what_is_drawn_is_in_the_space_and_encodes_to_its_canonical_genes(space):
    rng, fewest = np.random.default_rng(0), count_flops(space.smallest())
    for a in [space.sample(rng) for _ in range(60)]:
        assert a in space
        genes = space.encode(a)
        assert space.key(space.decode(genes)) == space.key(a)
        assert space.encode(space.decode(genes)) == genes
        assert all(genes[name] in choices for name, choices in space.genes.items())
        assert count_flops(a) >= fewest


@pytest.mark.parametrize("space", LARGE.values(), ids=LARGE)
def test_any_assignment_of_genes_decodes_into_the_space(space):
    @settings(max_examples=60, deadline=None)
    @given(st.fixed_dictionaries({n: st.sampled_from(c) for n, c in space.genes.items()}))
    def check(genes):
        assert space.decode(genes) in space

    check()


def test_a_space_of_one_has_no_genes():
    one = SearchSpace(img_size=(8,), patch_size=(2,), embed_dim=(8,), depth=(1,), num_heads=(1,))
    only = next(one.enumerate())
    assert one.size() == 1
    assert one.genes == {}
    assert one.decode({}) == only


def test_another_generator_draws_other_networks():
    space = LARGE["cifar"]

    def draws(seed):
        rng = np.random.default_rng(seed)
        return [space.sample(rng) for _ in range(5)]

    assert draws(0) == draws(0)
    assert draws(0) != draws(1)


SPELLINGS = Architecture(
    img_size=8,
    patch_size=2,
    embed_dim=16,
    depth=2,
    num_heads=2,
    mlp_ratio=2,
    pools=(Pool(after=0),),
)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"mlp_ratio": 2.0}, True),
        ({"mlp_ratio": 2.01}, True),
        ({"mlp_ratio": 2.1}, False),
        ({"reattention_scale": True}, True),
        ({"reattention_scale": True, "reattention": (0,)}, False),
        ({"pools": (Pool(after=0, stride=1),)}, False),
        ({"pools": (Pool(after=1),)}, False),
        ({"pools": (Pool(after=0, op="avg"),)}, False),
    ],
)
def test_two_spellings_of_one_network_count_once(changes, same):
    space = LARGE["digits"]
    assert (space.key(SPELLINGS.replace(**changes)) == space.key(SPELLINGS)) == same


def test_the_stride_of_a_pool_that_leaves_one_token_does_not_count():
    def one_token(stride):
        return SPELLINGS.replace(pools=(Pool(after=0, kernel_size=16, stride=stride),))

    space = LARGE["digits"]
    assert space.key(one_token(1)) == space.key(one_token(2))
    a, b = build_model(one_token(1)), build_model(one_token(2))
    b.load_state_dict(a.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"embed_dims": [16]},
            r"Unknown search space key 'embed_dims': did you mean 'embed_dim'\?",
        ),
        ({"embed_dim": []}, r"`embed_dim` must have at least one choice"),
        ({"embed_dim": [16, 20]}, r"Every `embed_dim` must be divisible by every `head_dim`.*20"),
        ({"head_dim": None, "num_heads": [3]}, r"by every `num_heads`, but 16"),
        ({"num_heads": [2]}, r"one of `head_dim` and `num_heads`"),
        ({"embed_dim": [512, 2048], "head_dim": [1]}, r"embed_dim 2048 by head_dim 1 makes 2048"),
        ({"patch_size": [2, 3]}, r"none of \[8\] is divisible by 3"),
        ({"depth": [0, 1]}, r"`depth` must be an integer from 1 to 512, but got 0"),
        ({"depth": [10**9]}, r"`depth` must be an integer"),
        ({"depth": ["4"]}, r"`depth` must be an integer.*'4'"),
        ({"depth": {"low": 1}}, r"`depth` must be a list of choices"),
        ({"mlp_ratio": [float("nan")]}, r"`mlp_ratio` must be a number"),
        ({"head": ["avg", "cls"]}, r"`head` must be one of \['avg', 'token'\], but got 'cls'"),
        (
            {"reattention": {"placement": ["sufix"]}},
            r"`reattention.placement` must be one of .*'sufix': did you mean 'suffix'",
        ),
        ({"reattention": {"places": ["all"]}}, r"Unknown search space's \[reattention\] key"),
        ({"pooling": {"stages": [9], "kernel_size": [3]}}, r"9 pools, but 1 blocks have 1"),
        ({"pooling": {"stages": [0, 4]}}, r"`pooling.stages` \(=4\) must be at most the 3 places"),
        ({"pooling": {"stages": [0, 1], "kernel_size": [17]}}, r"kernel_size=17.* allow 0 pools"),
        ({"pooling": {"stages": [0, 3], "kernel_size": [9]}}, r"`pooling.stages` \(=3\).*1 token"),
        ({"pooling": {"stages": [1], "kernel_size": [5]}}, r"allow 0 pools on the 4 tokens"),
        ({"pooling": {"stages": [1], "after": [2]}}, r"1 blocks have 0 places"),
    ],
)
def test_impossible_choices_are_refused_with_rule_and_value(changes, message, tmp_path):
    values = {k: v for k, v in {**SMALL, **changes}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        SearchSpace.from_dict(values)


def test_errors_name_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        "img_size = [8]\npatch_size = [2]\nembed_dim = [16]\ndept = [1]\nhead_dim = [8]\n"
    )
    with pytest.raises(ValueError, match=r"mine\.toml: Unknown search space key 'dept'.*'depth'"):
        SearchSpace.load(file)


@pytest.mark.parametrize(
    "text", ["depth = [", "depth = [1]", "a = " + "[" * 9000, "\x00", "é" * 99]
)
def test_broken_files_are_refused(text, tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="broken"):
        SearchSpace.load(file)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "huge.toml"
    with file.open("wb") as stream:
        stream.truncate(10**11)
    with pytest.raises(ValueError, match="at most 64000 bytes"):
        SearchSpace.load(file)


@pytest.mark.parametrize("name", ["digts", "cifar10", "no/such/file", "missing.toml"])
def test_unknown_spaces_are_refused_with_a_way_out(name):
    with pytest.raises(ValueError, match=r"did you mean|choose from|cannot be read"):
        SearchSpace.load(name)


@pytest.mark.parametrize("name", BUILT_IN_SPACES)
def test_to_dict_is_the_layout_of_the_files(name):
    space = LARGE[name]
    assert SearchSpace.from_dict(space.to_dict()) == space


def test_a_toml_file_reads_as_its_tables(tmp_path):
    text = (
        "img_size=[8]\npatch_size=[2]\nembed_dim=[16]\ndepth=[2]\nhead_dim=[8]\nnum_classes=3\n"
        "[pooling]\nstages=[0, 1]\nafter=[1]\n"
    )
    file = tmp_path / "mine.toml"
    file.write_text(text)
    space = SearchSpace.load(file)
    assert space == SearchSpace.from_dict({**tomllib.loads(text), "name": "mine"})
    assert space.to_dict()["pooling"]["after"] == [1]


def test_a_byte_order_mark_before_toml_is_passed_over(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("img_size=[8]\npatch_size=[2]\n", encoding="utf-8-sig")
    assert read_toml(file) == {"img_size": [8], "patch_size": [2]}


def test_dots_in_numbers_texts_and_comments_are_no_tables(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        "img_size=[8]\npatch_size=[2]\nembed_dim=[16]\ndepth=[2]  # 1. 2. 3. 4. 5. 6. 7. 8. 9.\n"
        "# ................ it's \"\n"
        "mlp_ratio = [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25,\n  3.5, 3.75, 4.0]\n"
        'name = """1.2.3.4.5.6.7.8.9.10\n1.2.3.4.5.6.7.8.9.10 ""\\""""""  # .........\n'
        "head_dim = [8]\nin_chans = 1\nhead = ['avg', \"token\"]\npooling.stages = [0, 1]\n"
    )
    space = SearchSpace.load(file)
    assert len(space.mlp_ratio) == 13
    assert space.name.endswith('10 """""')
    assert space.genes["pool_stages"] == (0, 1)


def test_fitting_to_images_drops_patch_sizes_that_do_not_divide_them():
    space = LARGE["cifar"].fit(img_size=36, in_chans=1, num_classes=7)
    assert space.patch_size == (2, 4)
    assert space.sample(np.random.default_rng(0)).num_classes == 7
    with pytest.raises(ValueError, match=r"`img_size`.*divisible"):
        LARGE["cifar"].fit(img_size=33, in_chans=3, num_classes=7)


def test_named_models_are_members_of_the_spaces_around_them():
    assert named("deit_tiny") in LARGE["hvt_deit_tiny"]
    assert named("hvt_ti_1") in LARGE["hvt_deit_tiny"]
    assert named("hvt_s_4") in LARGE["hvt_deit_small"]
    assert named("deepvit_32b") in LARGE["deepvit"]
    assert named("deit_tiny") not in LARGE["deepvit"]
    assert "deit_tiny" not in LARGE["deepvit"]


def test_a_space_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LARGE["digits"].name = "x"


@pytest.mark.parametrize("stages", [[1], [1, 2], [0, 1]])
def test_kinds_that_lose_and_need_the_grid_are_enumerated_and_the_least_is_the_least(stages):
    space = SearchSpace.from_dict({
        "img_size": 8, "patch_size": [1, 2], "in_chans": 1, "num_classes": 3,
        "embed_dim": [8, 16], "depth": [2, 3], "head_dim": 8, "mlp_ratio": 1,
        "pooling": {"stages": stages, "kernel_size": [2, 3], "op": "max"},
        "conv_pool": {"stages": [0, 1], "growth": [1.5, 2]},
        "local": {"placement": ["none", "all"]},
    })  # fmt: skip
    networks = check_enumerated(space)
    budget = int(np.median([count_flops(a) for a in networks]))
    fewest = min(count_params(a) for a in networks if count_flops(a) <= budget)
    assert count_params(space.leanest(budget)) == fewest
