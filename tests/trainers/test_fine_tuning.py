"""Training that begins from a donor: where it starts, and how it steps."""

import pytest
import torch
from donors import save_donor_of_digits

from space import Pool, build_model
from trainers import Recipe, evaluate, load_dataset, proxy_epochs, read_donor, train_proxy
from trainers.optimizers import layer_scales, optimizers_of

STILL = Recipe(epochs=1, learning_rate=1e-12, weight_decay=0.0)


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    return read_donor(save_donor_of_digits(tmp_path_factory.mktemp("donor")))


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", img_size=16, train_samples=128, val_samples=200)


def accuracy(architecture, data, recipe, donor):
    training = proxy_epochs(architecture, data, recipe, seed=0, device="cpu", donor=donor)
    return next(training)["accuracy"]


def test_a_training_begins_where_the_donor_ended(donor, digits):
    own = build_model(donor.architecture).eval()
    donor.load_into(own)
    shape = {"mean": digits.mean, "std": digits.std}
    theirs = evaluate(own, digits.val_images, digits.val_labels, **shape)[1]
    assert theirs > 0.6
    mixed = donor.architecture.replace(reattention=(2, 3))
    assert accuracy(donor.architecture, digits, STILL, donor) == pytest.approx(theirs, abs=1e-6)
    assert accuracy(mixed, digits, STILL, donor) == pytest.approx(theirs, abs=0.02)
    assert accuracy(donor.architecture, digits, STILL, None) < 0.3


def test_fine_tuning_learns_with_every_part_that_is_added(donor, digits):
    a = donor.architecture.replace(pools=(Pool(after=1, op="avg"),), reattention=(3,))
    recipe = Recipe.for_dataset(digits, epochs=3).for_donor()
    curve = list(proxy_epochs(a, digits, recipe, seed=0, device="cpu", donor=donor))
    assert curve[-1]["val_loss"] < curve[0]["val_loss"]


def test_a_few_epochs_from_a_donor_are_better_than_as_many_from_nothing(donor, digits):
    a, recipe = donor.architecture.replace(reattention=(3,)), Recipe.for_dataset(digits, epochs=3)
    *_, last = proxy_epochs(a, digits, recipe.for_donor(), seed=0, device="cpu", donor=donor)
    assert last["accuracy"] > train_proxy(a, digits, recipe, 0, device="cpu").accuracy + 0.1


def test_layers_have_rates_of_their_own(donor, digits):
    model = build_model(donor.architecture)
    scales = layer_scales(model, 0.5)
    assert scales == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5, 1.0]
    rates = torch.tensor(scales)
    rate = torch.zeros(())
    (adamw,) = optimizers_of(model, Recipe(), rate=rate, matrix_rate=rate, layer_rates=rates)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: float(group["lr"]) for group in adamw.param_groups for p in group["params"]
    }
    assert found.keys() == set(names.values())
    assert found["patch_embed.proj.weight"] == found["cls_token"] == found["pos_embed"] == 0.5**5
    assert found["blocks.0.mlp.fc1.weight"] == found["blocks.0.norm1.bias"] == 0.5**4
    assert found["blocks.3.attn.qkv.weight"] == 0.5
    assert found["norm.weight"] == found["head.weight"] == 1.0


def test_a_decay_of_one_trains_as_before_and_a_smaller_one_otherwise(donor, digits):
    def weights(**changes):
        recipe = Recipe(epochs=1, **changes)
        training = proxy_epochs(donor.architecture, digits, recipe, seed=0, device="cpu")
        next(training)
        return training.model.state_dict()

    plain, one, less = weights(), weights(layer_decay=1.0), weights(layer_decay=0.5)
    assert all(torch.equal(plain[name], one[name]) for name in plain)
    name = "blocks.0.mlp.fc1.weight"
    start = build_model(donor.architecture).state_dict()[name]
    assert not torch.equal(plain[name], less[name])
    assert start.shape == less[name].shape


def test_the_recipe_of_a_donor_is_written_and_read(digits):
    recipe = Recipe.for_dataset(digits).for_donor()
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.learning_rate == pytest.approx(0.1 * Recipe.for_dataset(digits).learning_rate)
    old = {name: value for name, value in Recipe().to_dict().items() if name != "layer_decay"}
    assert Recipe.from_dict(old) == Recipe()
