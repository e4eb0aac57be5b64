"""Stems of several convolutions or of patches that overlap, and what a space says of them."""

import json

import pytest
import torch
from torch import nn
from vectors import check_counts, check_enumerated, close

from results.words import shape_text
from space import (
    Architecture,
    SearchSpace,
    architecture_features,
    build_model,
)
from space.model import timm_config
from space.parts import RVT, Overlap, Patch, Shape, Strided, Tokenizer


def network(stem, head="avg", **image):
    plain = Architecture(
        img_size=16, patch_size=4, in_chans=3, num_classes=5, embed_dim=8, depth=1, num_heads=2,
        head=head,
    ).to_dict()  # fmt: skip
    return {**plain, **image, "stem": {"patch_size": 4, "dim": 8, **stem}}


def test_the_tokenizer_is_two_convolutions_with_relu_and_max_pooling():
    torch.manual_seed(0)
    ours = Tokenizer(patch_size=4, dim=8, width=6).build(Shape((12, 12), 144, 0, 3)).double()
    oracle = nn.Sequential(
        nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 8, 3, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(2),
    ).double()  # fmt: skip
    for mine, theirs in zip(ours.parameters(), oracle.parameters(), strict=True):
        theirs.data = mine.data
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    close(ours(x), oracle(x).transpose(1, 2))


def test_a_patch_that_overlaps_is_one_convolution_on_its_window():
    stem = Overlap(patch_size=2, dim=5).build(Shape((8, 8), 64, 0, 3)).double()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    token = (x[0, :, 2:6, 4:8] * stem.proj.weight).sum((1, 2, 3)) + stem.proj.bias
    close(stem(x)[0, 1 * 3 + 2], token)
    assert stem(x).shape == (1, 9, 5)


STEMS = [
    {"kind": "tokenizer"},
    {"kind": "tokenizer", "width": 5},
    {"kind": "tokenizer", "patch_size": 2},
    {"kind": "overlap"},
    {"kind": "overlap", "kernel_size": 7, "patch_size": 2},
    {"kind": "overlap", "kernel_size": 7, "padding": 3, "positions": False},
    {"kind": "rvt"},
    {"kind": "rvt", "patch_size": 8, "positions": False},
    {"kind": "strided"},
    {"kind": "strided", "patch_size": 8, "positions": False},
    {"kind": "strided", "patch_size": 2},
]


def test_patches_over_the_edge_have_the_grid_of_their_convolution_and_may_have_no_positions():
    values = network({"kind": "overlap", "kernel_size": 7, "padding": 3, "positions": False}, "avg")
    a = Architecture.from_dict(values)
    assert a.start.grid == (4, 4)
    assert a.positions == 0
    model = build_model(a)
    assert model.pos_embed is None
    assert "pos_embed" not in model.state_dict()
    model.set_input_size(24)
    assert model(torch.randn(1, 3, 24, 24)).shape == (1, 5)
    model.reset_classifier(7)
    assert model(torch.randn(1, 3, 24, 24)).shape == (1, 7)


@pytest.mark.parametrize("head", ["avg", "token"])
@pytest.mark.parametrize("stem", STEMS)
def test_networks_count_alike_and_learn(stem, head):
    a = Architecture.from_dict(network(stem, head))
    assert Architecture.from_dict(json.loads(json.dumps(a.to_dict()))) == a
    check_counts(a)
    model = build_model(a)
    model(torch.randn(2, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert dict(model.named_parameters())[timm_config(a)["first_conv"] + ".weight"].shape[1] == 3


@pytest.mark.parametrize("kind", ["patch", "overlap", "rvt"])
def test_positions_are_resampled_whether_or_not_the_class_token_has_one(kind):
    model = build_model(Architecture.from_dict(network({"kind": kind}, "token")))
    model.set_input_size(24)
    assert model(torch.randn(1, 3, 24, 24)).shape == (1, 5)


def test_cct_tokenizers_cost_what_their_convolutions_do():
    stem = Tokenizer(patch_size=4, dim=128)
    assert stem.flops(Shape((32, 32), 1024, 0, 3)) == 9 * (3 * 64 * 32**2 + 64 * 128 * 16**2)
    assert stem.params(Shape((32, 32), 1024, 0, 3)) == 9 * (3 * 64 + 64 * 128)


def test_a_class_token_has_a_position_behind_patches_only():
    overlap = Architecture.from_dict(network({"kind": "overlap", "patch_size": 4}, "token"))
    assert build_model(overlap).pos_embed.shape == (1, 9, 8)
    patch = Architecture.from_dict(network({"kind": "patch"}, "token"))
    assert build_model(patch).pos_embed.shape == (1, 17, 8)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ({"kind": "tokenizer", "patch_size": 8}, r"must be 2 or 4 with `stem` 'tokenizer'"),
        ({"kind": "overlap", "kernel_size": 4}, r"`kernel_size` \(=4\) must be above `patch_size`"),
        (
            {"kind": "overlap", "patch_size": 16},
            r"at most `img_size` \(=16\) with",
        ),
        ({"kind": "overlap", "patch_size": 5}, r"`img_size` \(=16\) must be divisible"),
        ({"kind": "overlap", "kernel_size": 0}, r"`kernel_size` must be an integer from 2"),
        ({"kind": "rvt", "patch_size": 2}, r"must be a multiple of 4 with `stem` 'rvt'"),
        ({"kind": "strided", "patch_size": 1}, r"must be 2, 4, 8 or another power of 2"),
        ({"kind": "strided", "patch_size": 6}, r"must be 2, 4, 8 or another power of 2"),
        ({"kind": "overlap", "padding": 8}, r"`padding` \(=8\) must be below `kernel_size` \(=8\)"),
    ],
)
def test_impossible_stems_are_refused(stem, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict(network(stem))


SPACE = {
    "img_size": 16,
    "patch_size": [2, 4, 8],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": [8, 16],
    "depth": [1, 2],
    "head_dim": 8,
    "stem": ["patch", "conv", "tokenizer", "overlap", "rvt", "strided"],
    "stem_width": [4, 16],
    "pooling": {"stages": [0, 1], "kernel_size": 2},
}


def test_a_space_of_all_stems_enumerates_encodes_and_check_counts():
    space = SearchSpace.from_dict(SPACE)
    networks = check_enumerated(space)
    stems = {a.stem for a in networks if a.start.dim == 8}
    assert {s.width for s in stems if type(s) is Tokenizer and s.patch_size == 4} == {4, 16}
    assert len([s for s in stems if type(s) is Tokenizer and s.patch_size == 2]) == 1
    assert {s.patch_size for s in stems if type(s) is Overlap} == {2, 4, 8}
    assert {s.patch_size for s in stems if type(s) is RVT} == {4, 8}
    assert {s.patch_size for s in stems if type(s) is Strided} == {2, 4, 8}


def test_a_tokenizer_of_an_impossible_stride_has_the_nearest():
    space = SearchSpace.from_dict(SPACE)
    a = space.decode({"patch_size": 8, "stem": "tokenizer", "stem_width": 16})
    assert a.stem == Tokenizer(patch_size=4, dim=8, width=16)
    a = space.decode({"patch_size": 8, "stem": "patch", "stem_width": 16})
    assert a.stem == Patch(patch_size=8, dim=8)
    a = space.decode({"patch_size": 4, "stem": "tokenizer", "stem_width": 16})
    assert a.stem == Tokenizer(patch_size=4, dim=8, width=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem": ["patch"]}, r"`stem_width` is of stem 'tokenizer'"),
        ({"patch_size": 8}, r"`stem` 'tokenizer' needs a patch_size of 2 or 4"),
        ({"patch_size": 16, "stem": "overlap", "stem_width": None}, r"`stem` 'overlap' needs two"),
        ({"patch_size": 2, "stem": "rvt", "stem_width": None}, r"'rvt' needs a patch_size of 4, 8"),
        ({"patch_size": 1, "stem": "strided", "stem_width": None}, r"another power of 2 that div"),
        (
            {"stem": "tokeniser"},
            r"`stem` must be one of .* but got 'tokeniser': did you mean 'tokenizer'",
        ),
    ],
)
def test_a_space_with_a_stem_that_no_network_can_have_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace.from_dict({**SPACE, "pooling": {}, **change})


def test_people_and_the_surrogate_are_told_of_the_stem():
    a = Architecture.from_dict(network({"kind": "tokenizer", "width": 4}))
    assert "conv tokenizer 4, 4 channels first" in shape_text(a)
    told = architecture_features(a, [Tokenizer, Overlap])[-6:]
    assert told == [1.0, 0.5, 0.5, 0.0, 0.5, 0.0]
