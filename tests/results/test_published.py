"""What is said to who searches from scratch where free weights win."""

import pytest

from results.published import PUBLISHED, best_below, donor_for
from results.words import pretrained_note


def test_the_table_rises_in_flops():
    flops = [model.flops for model in PUBLISHED]
    assert flops == sorted(flops)
    others = [model.accuracy for model in PUBLISHED if not model.is_donor]
    assert others == sorted(others)


@pytest.mark.parametrize(
    ("budget", "best", "donor"),
    [
        (29_999_999, None, "vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        (
            600_000_000,
            "levit_128.fb_dist_in1k",
            "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        ),
        (
            1_300_000_000,
            "levit_256.fb_dist_in1k",
            "deit3_small_patch16_224.fb_in22k_ft_in1k",
        ),
    ],
)
def test_a_budget_has_a_best_model_and_a_donor(budget, best, donor):
    found = best_below(budget)
    assert (found and found.name) == best
    assert donor_for(budget).name == donor


def test_photographs_are_told_what_exists_in_one_line():
    note = pretrained_note(600_000_000, img_size=96, in_chans=3)
    assert note.startswith(
        "Under 600M FLOPs pretrained models exist, such as levit_128.fb_dist_in1k (410M at 224 "
        "pixels, 78.5 % of ImageNet)"
    )
    assert "`--init vit_tiny_patch16_224.augreg_in21k_ft_in1k`" in note
    assert "\n" not in note


def test_a_small_budget_is_told_that_nothing_is_so_small():
    note = pretrained_note(1_000_000, img_size=224, in_chans=3)
    assert note.startswith("No pretrained model that we know is so small; ")


@pytest.mark.parametrize(("img_size", "in_chans"), [(95, 3), (224, 1), (224, 13)])
def test_small_images_and_other_channels_are_told_nothing(img_size, in_chans):
    assert pretrained_note(600_000_000, img_size=img_size, in_chans=in_chans) is None
