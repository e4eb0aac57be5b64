"""Full trainings of small networks: they learn, go on bit by bit, and tell what is wrong."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from space import Architecture, build_model
from trainers import Dataset, NonFiniteLossError, load_dataset
from trainers.augment import AugmentedImages, epoch_order, load_batches
from trainers.device.workers import share_of_batch, synchronised
from trainers.errors import DataError
from trainers.full_recipe import RECIPES
from trainers.train import FullTraining

CPU = torch.device("cpu")
NETWORK = Architecture(
    img_size=8, patch_size=4, in_chans=1, num_classes=10, embed_dim=16, depth=3, num_heads=2,
    mlp_ratio=2, reattention=(1, 2),
)  # fmt: skip
RECIPE = dataclasses.replace(
    RECIPES["small"].changed(epochs=2, batch_size=32), cosine_weight=0.1, recalibration_batches=2
)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", train_samples=96, val_samples=32)


def photographs(count=16, channels=3):
    """Random images that may be mirrored and cropped."""
    images = np.random.default_rng(0).integers(256, size=(count, channels, 8, 8), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    parts = {f"{s}_images": images for s in ("train", "val", "test")}
    parts |= {f"{s}_labels": labels for s in ("train", "val", "test")}
    return Dataset(
        name="noise", class_names=("a", "b"), mean=(0.5,) * channels, std=(0.25,) * channels,
        augmentation="crop_flip", **parts,
    )  # fmt: skip


def begin(dataset, recipe=RECIPE, architecture=NETWORK, *, seed=0, **options):
    return FullTraining(architecture, dataset, recipe, seed=seed, device=CPU, **options)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_restored_training_equals_the_uninterrupted_one_bit_by_bit(digits):
    """Of Re-attention's statistics, drop path, mixing, the averaged weights and the moments."""
    whole = begin(digits)
    reports = list(whole)
    first = begin(digits)
    next(first)
    state = {name: value.clone() for name, value in first.state().items()}
    random.seed(7)
    torch.manual_seed(7)
    second = begin(digits)
    second.restore(state)
    rest = list(second)
    assert [r["epoch"] for r in rest] == [2]
    assert rest[0]["train_loss"] == reports[1]["train_loss"]
    assert equal(second.state(), whole.state())
    assert not equal(state, whole.state())
    assert any(name.startswith("ema.") for name in state)


def test_a_training_leaves_the_global_generators_as_they_were(digits):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    next(begin(digits))
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_another_seed_gives_other_weights(digits):
    assert not equal(begin(digits).state(), begin(digits, seed=1).state())


def test_a_network_learns_a_few_images_by_heart(digits):
    recipe = dataclasses.replace(
        RECIPE.changed(epochs=25, batch_size=32, peak=1e-2), mixup=0.0, cutmix=0.0,
        label_smoothing=0.0, drop_path_rate=0.0, cosine_weight=0.0, ema_decay=None,
    )  # fmt: skip
    reports = list(begin(digits, recipe))
    assert reports[0]["train_loss"] > 1.8  # ln 10 is 2.3
    assert reports[-1]["train_loss"] < 0.4
    assert reports[-1]["accuracy"] > 0.4  # guessing: 0.1
    assert reports[-1]["ema_accuracy"] is None


def test_a_loss_that_is_not_finite_ends_the_training_with_its_epoch(digits):
    training = begin(digits)
    next(training)
    with torch.no_grad():
        training.model.head.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="training loss is nan in epoch 2"):
        next(training)


def test_what_does_not_fit_the_images_is_told(digits):
    with pytest.raises(ValueError, match="in_chans, num_classes, img_size"):
        begin(digits, architecture=NETWORK.replace(num_classes=7))
    two = NETWORK.replace(in_chans=2, num_classes=2)
    with pytest.raises(DataError, match="1 or 3 channels"):
        begin(photographs(channels=2), architecture=two)
    policy = dataclasses.replace(RECIPE, auto_augment="strong")
    with pytest.raises(DataError, match="auto_augment"):
        begin(photographs(), policy, NETWORK.replace(in_chans=3, num_classes=2))
    state = begin(digits).state()
    with pytest.raises(ValueError, match="epoch"):
        begin(digits).restore({**state, "epoch": torch.tensor(3)})


@pytest.mark.parametrize(("crop", "channels"), [("resized", 3), ("padded", 1)])
def test_augmented_images_depend_on_their_seed_and_not_on_who_makes_them(crop, channels):
    dataset = photographs(channels=channels)
    images = AugmentedImages(dataset, dataclasses.replace(RECIPE, crop=crop), 8)
    rows, seeds = epoch_order(16, 8, repeats=1, seed=0, epoch=0)
    here, there = (
        list(load_batches(images, rows, seeds, processes=processes, pin_memory=False))
        for processes in (0, 2)
    )
    assert len(here) == len(there) == 2
    for (a, labels), (b, others) in zip(here, there, strict=True):
        assert a.shape == (8, channels, 8, 8)
        assert torch.equal(a, b)
        assert torch.equal(labels, others)
    for seed in range(300):  # the rarest policies too
        images[(seed % 16, seed)]
    again = images[(0, 1)][0]
    assert torch.equal(again, images[(0, 1)][0])
    assert not torch.equal(again, images[(0, 2)][0])


def test_repeats_come_in_one_epoch_and_every_epoch_has_another_order():
    rows, seeds = epoch_order(12, 6, repeats=3, seed=0, epoch=0)
    assert rows.shape == (2, 6)
    assert sorted(np.unique(rows, return_counts=True)[1]) == [3] * 4
    assert len(np.unique(seeds)) == 12
    assert not np.array_equal(rows, epoch_order(12, 6, repeats=3, seed=0, epoch=1)[0])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_workers_share_a_batch_and_keep_the_pairs_that_are_mixed(world):
    shares = [share_of_batch(12, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(shares)) == list(range(12))
    for share in shares:
        assert np.array_equal(share[::-1], 11 - share)  # its reverse is that of the whole batch


def test_layer_decay_lowers_the_rate_towards_the_stem(digits):
    training = begin(digits, dataclasses.replace(RECIPE, layer_decay=0.5))
    scales = {
        id(p): group["lr_scale"]
        for group in training._optimizer.param_groups
        for p in group["params"]
    }
    model = training.model
    assert scales[id(model.head.weight)] == 1
    assert scales[id(model.blocks[2].mlp.fc1.weight)] == 0.5
    assert scales[id(model.blocks[0].mlp.fc1.weight)] == 0.125
    assert scales[id(model.pos_embed)] == 0.0625


def test_checkpointed_blocks_give_the_same_gradients():
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    gradients = []
    for enable in (False, True):
        torch.manual_seed(0)
        model = build_model(NETWORK, drop_path_rate=0.5)
        model.set_grad_checkpointing(enable)
        model(images).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert equal(*gradients)


def test_workers_on_cpus_refuse_a_batchnorm_that_they_cannot_share():
    model = build_model(NETWORK)
    assert synchronised(model, CPU) is model
    assert model.blocks[1].attn.synchronised
    conv = Architecture(
        img_size=32, patch_size=16, num_classes=2, embed_dim=8, depth=1, num_heads=1, stem="conv"
    )
    with pytest.raises(ValueError, match="`--workers` must be 1 on CPUs"):
        synchronised(build_model(conv), CPU)
