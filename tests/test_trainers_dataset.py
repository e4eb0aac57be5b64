"""Datasets: valid arrays, exact statistics, ready to travel."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from trainers import DataError, load_dataset
from trainers.dataset import channel_statistics


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
