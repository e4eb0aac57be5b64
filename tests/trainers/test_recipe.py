"""Recipes: valid by construction, plain JSON, and a schedule with the stated shape."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from space import Architecture
from trainers import Dataset, Recipe, load_dataset
from trainers.recipe import PROXIES


def photographs(images: int) -> Dataset:
    return dataclasses.replace(
        load_dataset("digits"),
        augmentation="crop_flip",
        train_images=np.zeros((images, 1, 8, 8), np.uint8),
        train_labels=np.zeros(images, np.int64),
    )


def test_recipe_survives_json() -> None:
    recipe = Recipe(epochs=3, clip_grad=None, warmup_epochs=0.5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_digits_are_trained_for_30_epochs_unless_told() -> None:
    data = load_dataset("digits")
    assert Recipe.for_dataset(data).epochs == 30
    assert Recipe.for_dataset(data, epochs=7).epochs == 7
    assert Recipe.for_dataset(data, epochs=7).batch_size == Recipe.for_dataset(data).batch_size


def test_a_proxy_shortens_the_training_and_epochs_override_it() -> None:
    digits = load_dataset("digits")
    photographs = dataclasses.replace(digits, augmentation="crop_flip")
    lengths = {
        proxy: [Recipe.for_dataset(data, proxy=proxy).epochs for data in (digits, photographs)]
        for proxy in PROXIES
    }
    assert lengths == {"fast": [3, 1], "balanced": [7, 2], "faithful": [30, 10]}
    assert Recipe.for_dataset(digits, epochs=4, proxy="fast").epochs == 4
    assert Recipe.for_dataset(digits, proxy="faithful") == Recipe.for_dataset(digits)
    with pytest.raises(ValueError, match=r"`proxy` must be one of .*but got 'quick'"):
        Recipe.for_dataset(digits, proxy="quick")


@pytest.mark.parametrize(
    ("images", "batch_size"), [(40, 32), (5_000, 32), (40_000, 256), (1_000_000, 512)]
)
def test_batch_of_photographs_grows_with_their_number(images: int, batch_size: int) -> None:
    assert Recipe.for_dataset(photographs(images)).batch_size == batch_size


def test_larger_batches_of_photographs_take_a_higher_rate() -> None:
    rates = [Recipe.for_dataset(photographs(n)).learning_rate for n in (2_000, 40_000, 10**6)]
    assert rates == pytest.approx([1e-3, 4e-3, 1e-3 * 16 ** (2 / 3)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("weight_decay", -0.1),
        ("label_smoothing", 1.0),
        ("drop_path_rate", "0"),
        ("clip_grad", 0.0),
        ("warmup_epochs", math.inf),
        ("pos_embed_std", None),
        ("recalibration_batches", True),
        ("amp", "bf16"),
    ],
)
def test_impossible_values_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be .*but got"):
        Recipe.from_dict({name: value})


def test_unknown_key_is_named() -> None:
    with pytest.raises(ValueError, match="Unknown recipe key 'momentum'"):
        Recipe.from_dict({"momentum": 0.9})


def test_learning_rate_warms_up_linearly_and_falls_to_zero() -> None:
    recipe = Recipe(epochs=10, warmup_epochs=2, learning_rate=1e-2)
    rates = [recipe.learning_rate_at(step, steps_per_epoch=5) for step in range(50)]
    assert rates[0] == pytest.approx(1e-2 / 11)
    assert rates[9] == pytest.approx(1e-2 * 10 / 11)
    assert rates[10] == max(rates) == 1e-2
    assert rates[30] == pytest.approx(0.5e-2)
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)
    assert 0 < rates[-1] < 1e-4


def test_no_warmup_starts_at_the_full_rate() -> None:
    recipe = Recipe(epochs=2, warmup_epochs=0)
    assert recipe.learning_rate_at(0, steps_per_epoch=5) == recipe.learning_rate


def test_warmup_takes_at_most_half_of_a_short_training() -> None:
    recipe = Recipe(epochs=1, warmup_epochs=3)
    rates = [recipe.learning_rate_at(step, steps_per_epoch=10) for step in range(10)]
    assert rates.index(max(rates)) == 5


def test_narrow_and_shallow_networks_of_digits_take_a_higher_rate() -> None:
    digits = load_dataset("digits")
    recipe = Recipe.for_dataset(digits)

    def rate(embed_dim: int, depth: int) -> float:
        network = Architecture(
            img_size=8, patch_size=2, embed_dim=embed_dim, depth=depth, num_heads=1
        )
        return recipe.for_architecture(network).learning_rate

    assert rate(32, 8) == recipe.learning_rate == 4e-3
    assert rate(16, 1) == pytest.approx(4 * recipe.learning_rate)
    assert rate(128, 8) == pytest.approx(recipe.learning_rate / 2)
    assert rate(768, 12) == pytest.approx(recipe.learning_rate * 0.45)


def test_reattention_in_networks_on_photographs_takes_half_the_rate() -> None:
    recipe = Recipe.for_dataset(photographs(5000))

    def rate(*reattention: int) -> float:
        network = Architecture(
            img_size=32, patch_size=4, embed_dim=64, depth=4, num_heads=2, reattention=reattention
        )
        return recipe.for_architecture(network).learning_rate

    assert rate() == recipe.learning_rate == 1e-3
    assert rate(2, 3) == pytest.approx(1e-3 * math.sqrt(0.5))
    assert rate(0, 1, 2, 3) == pytest.approx(0.5e-3)


def test_a_rate_without_a_size_is_the_same_for_all() -> None:
    network = Architecture(
        img_size=8, patch_size=2, embed_dim=16, depth=1, num_heads=1, reattention=(0,)
    )
    recipe = Recipe(learning_rate=1e-3)
    assert recipe.for_architecture(network) == recipe


@pytest.mark.parametrize("name", ["learning_rate_size", "reattention_rate"])
def test_a_recipe_of_a_run_before_a_rate_followed_the_network_is_still_that_recipe(
    name: str,
) -> None:
    values = Recipe().to_dict()
    del values[name]
    assert Recipe.from_dict(values) == Recipe()
