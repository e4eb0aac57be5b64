import dataclasses

import pytest
import torch

from space import Architecture, SearchSpace, build_model, count_flops, inherit, space_of
from space.choosing import kept_blocks
from space.features import architecture_features

DONOR = Architecture(
    img_size=32,
    patch_size=4,
    embed_dim=64,
    depth=6,
    num_heads=2,
    head="token",
    donor_blocks=tuple(range(6)),
)


def space(**changes):
    shape = {"img_size": 32, "in_chans": 3, "num_classes": 10}
    return space_of(DONOR, name="vit", **{**shape, **changes})


@pytest.mark.parametrize(
    ("rule", "depth", "blocks"),
    [
        ("evenly", 6, (0, 1, 2, 3, 4, 5)),
        ("evenly", 4, (0, 2, 3, 5)),
        ("evenly", 3, (0, 3, 5)),
        ("evenly", 2, (0, 5)),
        ("evenly", 1, (0,)),
        ("first", 3, (0, 1, 2)),
    ],
)
def test_the_blocks_that_stay(rule, depth, blocks):
    assert kept_blocks(rule, depth, 6) == blocks


@pytest.mark.parametrize("donor_depth", range(1, 33))
def test_as_many_different_blocks_stay_as_are_asked_for(donor_depth):
    for depth in range(1, donor_depth + 1):
        blocks = kept_blocks("evenly", depth, donor_depth)
        assert len(set(blocks)) == depth
        assert depth == 1 or (blocks[0], blocks[-1]) == (0, donor_depth - 1)


def test_the_space_is_written_and_read_and_holds_the_donor():
    s = space()
    assert SearchSpace.from_dict(s.to_dict()) == s
    donor = DONOR.replace(num_classes=10)
    assert donor in s
    assert s.decode(s.encode(donor)) == donor
    assert donor.replace(donor_blocks=None) not in s


def test_networks_encode_to_what_decodes_to_them_and_are_counted():
    s = space()
    small = dataclasses.replace(s, img_size=(16,), depth=(2, 6))
    networks = list(small.enumerate())
    assert len({a.key() for a in networks}) == len(networks) == small.size()
    for a in networks:
        assert small.decode(small.encode(a)).key() == a.key()
        assert Architecture.from_dict(a.to_dict()) == a
    assert {a.donor_blocks for a in networks} == {(0, 5), (0, 1), tuple(range(6))}


def test_two_networks_of_other_blocks_are_two():
    s = space()
    first, evenly = (s.decode({"depth": 3, "keep": keep}) for keep in ("first", "evenly"))
    assert first.key() != evenly.key()
    assert architecture_features(first) != architecture_features(evenly)
    assert count_flops(first) == count_flops(evenly)


@pytest.mark.parametrize("changes", [{"keep": None}, {"donor_depth": None}, {"donor_depth": 5}])
def test_a_space_says_what_of_its_donor_is_wrong(changes):
    with pytest.raises(ValueError, match="donor_depth"):
        dataclasses.replace(space(), **changes)


@pytest.mark.parametrize("blocks", [(0, 1), (1, 0, 2), (0, 0, 1), (0, 1, -2), "abc", (0, 1, True)])
def test_wrong_donor_blocks_are_refused(blocks):
    with pytest.raises(ValueError, match="`donor_blocks` must be a rising index"):
        Architecture(
            img_size=32, patch_size=4, embed_dim=64, depth=3, num_heads=2, donor_blocks=blocks
        )


@pytest.mark.parametrize("img_size", [4, 8, 32])
def test_a_donor_of_few_tokens_has_a_space(img_size):
    assert space(img_size=img_size).smallest().img_size <= img_size


@torch.no_grad()
def test_added_re_attention_begins_as_identity():
    from space import start_as_identity

    torch.manual_seed(0)
    plain = build_model(DONOR)
    for parameter in plain.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    mixed = build_model(DONOR.replace(reattention=(0, 3, 5)))
    images = torch.randn(8, 3, 32, 32)
    inherit(mixed, plain.state_dict())
    before = (mixed.train()(images) - plain.train()(images)).abs().max()
    start_as_identity(mixed, images)
    assert before > 0.1
    for mode in (True, False):
        torch.testing.assert_close(
            mixed.train(mode)(images), plain.train(mode)(images), rtol=0, atol=2e-4
        )


@torch.no_grad()
def test_an_added_pool_adds_no_positions():
    from space.flat import Pool

    pooled = build_model(DONOR.replace(pools=(Pool(after=1, op="avg"),)))
    plain = build_model(DONOR)
    inherit(pooled, plain.state_dict())
    assert not pooled.blocks[1].pool.pos_embed.any()
    assert torch.equal(pooled.blocks[5].mlp.fc1.weight, plain.blocks[5].mlp.fc1.weight)


def test_blocks_that_timm_prunes_are_no_longer_of_the_donor():
    model = build_model(space().decode({"depth": 4, "keep": "evenly"}))
    model.prune_intermediate_layers([1])
    assert model.architecture.donor_blocks == (0, 2)


def test_weights_of_another_network_are_refused_by_name():
    model = build_model(DONOR)
    with pytest.raises(ValueError, match="cls_token must have the shape"):
        inherit(model, {"cls_token": torch.zeros(1, 1, 65)})
