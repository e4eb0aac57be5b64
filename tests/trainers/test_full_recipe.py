"""Recipes of full trainings: what their fields may be, and what the command line changes."""

import dataclasses

import pytest

from space import named
from trainers.full_recipe import RECIPES, FullRecipe, recipe_for


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_back_from_its_dict(name):
    assert FullRecipe.from_dict(RECIPES[name].to_dict()) == RECIPES[name]


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch_size", 1), ("mixup", -0.1), ("ema_decay", 1.0), ("crop", "centre"),
     ("layer_decay", 1.5), ("aug_repeats", 0), ("random_erasing", 1.1), ("clip_grad", 0.0)],
)  # fmt: skip
def test_a_wrong_value_is_told_by_its_name(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be"):
        dataclasses.replace(RECIPES["deit"], **{field: value})


def test_the_learning_rate_grows_with_the_batch_unless_it_is_given():
    deit = RECIPES["deit"]
    assert deit.peak_learning_rate == pytest.approx(1e-3)  # 5e-4 for 512 images, twice as many
    assert deit.changed(batch_size=256).peak_learning_rate == pytest.approx(2.5e-4)
    assert deit.changed(batch_size=256, peak=3e-3).peak_learning_rate == pytest.approx(3e-3)


def test_fewer_epochs_shorten_the_warm_up():
    assert RECIPES["small"].changed(epochs=10).warmup_epochs == 2
    assert RECIPES["deit"].changed(epochs=300) == RECIPES["deit"]


def test_a_recipe_is_chosen_by_the_network():
    names = ("deit_tiny", "hvt_s_1", "deepvit_16b")
    assert [recipe_for(named(name)) for name in names] == ["deit", "hvt", "deepvit"]
    assert recipe_for(named("hvt_s_1").replace(img_size=64)) == "small"
