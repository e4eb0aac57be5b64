"""Stored images: what an array would give, without being read before it is asked for."""

from __future__ import annotations

import pickle
import resource
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers import DataError, load_dataset
from trainers.images.cache import open_cache
from trainers.images.dataset import STATISTICS_SAMPLE, channel_statistics
from trainers.images.stored import StoredImages

ROWS = np.array([5, 2, 9, 0, 7], np.int64)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path: Path, pixels: np.ndarray) -> StoredImages:
    np.save(tmp_path / "images.npy", pixels)
    return StoredImages(tmp_path / "images.npy", ROWS)


@pytest.mark.parametrize("index", [0, -1, slice(1, 4), slice(None), np.array([4, 0, 4]), []])
def test_indexing_gives_what_an_array_gives(stored, pixels, index) -> None:
    np.testing.assert_array_equal(stored[index], pixels[ROWS][index])


def test_it_has_the_shape_of_an_array(stored, pixels) -> None:
    array = pixels[ROWS]
    for name in ("shape", "dtype", "ndim", "nbytes"):
        assert getattr(stored, name) == getattr(array, name)
    assert len(stored) == len(array)
    np.testing.assert_array_equal(np.asarray(stored), array)


def test_a_pickled_file_is_a_path_and_an_array_travels_once(stored, pixels) -> None:
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored))[:], pixels[ROWS])
    big = np.zeros((1000, 3, 8, 8), np.uint8)
    parts = [StoredImages(big, ROWS), StoredImages(big, ROWS[:2])]
    assert len(pickle.dumps(stored)) < 1000
    assert big.nbytes < len(pickle.dumps(parts)) < 1.01 * big.nbytes


def test_a_missing_file_is_named_with_its_machine(stored) -> None:
    stored.stored.unlink()
    with pytest.raises(DataError, match=rf"images.npy is not on {socket.gethostname()}: No such"):
        stored[0]


def test_a_cache_larger_than_the_limit_stays_where_it_is(tmp_path: Path) -> None:
    rows = np.arange(1_281_167)
    cache = open_cache(tmp_path, {"source": "made up"}, count=len(rows), img_size=64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = cache.images(rows)
    assert isinstance(images, StoredImages)
    assert images.shape == (1_281_167, 3, 64, 64)
    assert images[np.array([0, 1_281_166])].max() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB, of 16 GB
    assert isinstance(cache.images(rows[:100]), np.ndarray)


def test_statistics_of_stored_images_come_from_an_even_sample(tmp_path: Path) -> None:
    ramp = np.arange(20_000) * 255 // 20_000
    array = np.broadcast_to(ramp.astype(np.uint8)[:, None, None, None], (20_000, 1, 2, 2))
    np.save(tmp_path / "images.npy", array)
    stored = StoredImages(tmp_path / "images.npy", np.arange(20_000))
    assert len(stored) > 2 * STATISTICS_SAMPLE
    (mean,), (std,) = channel_statistics(stored)
    (exact_mean,), (exact_std,) = channel_statistics(np.ascontiguousarray(array))
    assert mean == pytest.approx(exact_mean, abs=2e-4)
    assert std == pytest.approx(exact_std, abs=2e-4)


@pytest.mark.slow
def test_statistics_of_large_images_take_the_memory_of_a_few(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, {"source": "made up"}, count=200, img_size=1024)
    stored = StoredImages(cache.directory / "images.npy", np.arange(200))
    tracemalloc.start()
    try:
        assert channel_statistics(stored) == ((0.0,) * 3, (1 / 255,) * 3)
        assert tracemalloc.get_traced_memory()[1] < 2**26  # bytes, of 600 MiB
    finally:
        tracemalloc.stop()


def test_a_folder_beyond_the_limit_is_the_same_dataset(tmp_path: Path, monkeypatch) -> None:
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(20):
            colour = (i, 100 * (name == "b"), 7)
            Image.new("RGB", (8, 8), colour).save(tmp_path / "images" / name / f"{i}.png")
    small = load_dataset(tmp_path / "images", cache_dir=tmp_path / "cache")
    monkeypatch.setattr("trainers.images.decoded.IN_MEMORY_AT_MOST", 0)
    large = load_dataset(tmp_path / "images", cache_dir=tmp_path / "cache")
    assert isinstance(large.train_images, StoredImages)
    for split in ("train", "val", "test"):
        images = getattr(large, f"{split}_images")
        np.testing.assert_array_equal(images, getattr(small, f"{split}_images"))
        np.testing.assert_array_equal(
            getattr(large, f"{split}_labels"), getattr(small, f"{split}_labels")
        )
    assert (large.mean, large.std) == (small.mean, small.std)
