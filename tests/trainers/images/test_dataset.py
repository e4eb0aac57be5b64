"""Datasets: valid arrays, exact statistics, ready to travel."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from trainers import DataError, Dataset, load_dataset
from trainers.images.dataset import channel_statistics
from trainers.images.stored import StoredImages


def test_statistics_are_those_of_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 5, 5), dtype=np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-12)


def test_constant_channel_has_a_deviation_to_divide_by() -> None:
    assert channel_statistics(np.zeros((2, 1, 4, 4), np.uint8)) == ((0.0,), (1 / 255,))


def test_dataset_travels_between_processes() -> None:
    data = load_dataset("digits")
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.train_images, data.train_images)
    assert again.class_names == data.class_names


def test_impossible_arrays_are_refused() -> None:
    data = load_dataset("digits")
    with pytest.raises(DataError, match="`val_images` must be uint8 of shape"):
        dataclasses.replace(data, val_images=data.val_images.astype(np.float32))
    with pytest.raises(DataError, match="`train_labels` must be int64, one for each"):
        dataclasses.replace(data, train_labels=data.train_labels[1:])
    with pytest.raises(DataError, match="`test_labels` must be from 0 to 9"):
        dataclasses.replace(data, test_labels=data.test_labels + 1)


def small(**changes: object) -> Dataset:
    """A dataset of known bytes."""
    pixels = (np.arange(300 * 3 * 4 * 4) * 7 % 251).astype(np.uint8).reshape(300, 3, 4, 4)
    images = {"train": pixels[:150], "val": pixels[150:250], "test": pixels[250:]}
    splits = {f"{split}_images": part for split, part in images.items()}
    labels = {f"{split}_labels": np.arange(len(part)) % 2 for split, part in images.items()}
    statistics = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    known = {"name": "small", "class_names": ("even", "odd"), "augmentation": "none", **statistics}
    return Dataset(**(known | splits | labels | changes))


def test_fingerprint_is_the_same_on_every_machine() -> None:
    assert small().fingerprint() == small(name="elsewhere").fingerprint() == "7d04a1176f683c7d"


def test_brightness_of_stored_images_is_that_of_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", small().val_images)
    stored = StoredImages(tmp_path / "images.npy", np.arange(100))
    assert small(val_images=stored).brightness() == small().brightness()


def test_brightness_of_other_images_differs_by_more_than_decoders_do() -> None:
    data = small()
    before = np.array(data.brightness())
    close = small(val_images=np.maximum(data.val_images, 1) - 1, mean=(0.1001, 0.2, 0.3))
    assert np.abs(before - close.brightness()).max() < 0.01
    for other in (small(mean=(0.15, 0.2, 0.3)), small(val_images=data.val_images // 2)):
        assert np.abs(before - other.brightness()).max() > 0.01


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_permuted_labels_have_another_fingerprint(split: str) -> None:
    labels = getattr(small(), f"{split}_labels")
    assert small(**{f"{split}_labels": labels[::-1]}).fingerprint() != small().fingerprint()


def test_other_data_have_another_fingerprint() -> None:
    data = small()
    others = [
        small(class_names=("odd", "even")),
        small(class_names=("even", "odd", "none")),
        small(test_images=data.test_images[1:], test_labels=data.test_labels[1:]),
        small(train_images=data.train_images[1:], train_labels=data.train_labels[1:]),
    ]
    fingerprints = {data.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(fingerprints) == 1 + len(others)


def test_images_of_another_split_are_counted() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3, 4, 4), dtype=np.uint8)
    pixels[160:170], pixels[250:255], pixels[255:260] = pixels[:10], pixels[:5], pixels[170:175]
    images = {"train": pixels[:150], "val": pixels[150:250], "test": pixels[250:]}
    splits = {f"{split}_images": part for split, part in images.items()}
    assert small(**splits).seen_before() == {"validation": 10, "test": 10}
    assert load_dataset("digits").seen_before() == {"validation": 0, "test": 0}
