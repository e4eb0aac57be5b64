"""Streamed splits: the numbers of resident ones, whatever the threads that read do."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from space import Architecture
from trainers import Dataset, Recipe, evaluate, load_dataset, proxy_epochs
from trainers.device.split import DeviceImages, device_images
from trainers.device.streaming import AHEAD, StreamedImages, kept_images, moved_whole, open_split
from trainers.images.stored import StoredImages

CPU = torch.device("cpu")
SHAPE = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
DEVICES = [CPU, pytest.param(torch.device("cuda"), marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU"))]  # fmt: skip


def made(
    tmp_path: Path, count: int = 300, size: int = 8, device: torch.device = CPU, **changes: int
) -> tuple[StreamedImages, np.ndarray, np.ndarray]:
    """A streamed split, and the images and labels that it is of."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2 * count, 3, size, size), dtype=np.uint8)
    rows, labels = rng.permutation(2 * count)[:count], np.arange(count)
    np.save(tmp_path / "images.npy", pixels)
    stored = StoredImages(tmp_path / "images.npy", rows)
    split = StreamedImages(
        stored=stored, labels=torch.from_numpy(labels).to(device), img_size=size,
        mean=torch.tensor(SHAPE["mean"], device=device).view(-1, 1, 1),
        std=torch.tensor(SHAPE["std"], device=device).view(-1, 1, 1),
    )  # fmt: skip
    return dataclasses.replace(split, **changes), pixels[rows], labels


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", [1, AHEAD, 40])
def test_every_batch_arrives_whole_and_in_its_turn(tmp_path, device, steps) -> None:
    split, pixels, labels = made(tmp_path, device=device)
    batches = torch.from_numpy(np.random.default_rng(1).integers(0, 300, (steps, 7))).to(device)
    window = split.window(7)
    seen = 0
    for batch, rows in zip(batches, split.bring(batches, window), strict=True):
        np.testing.assert_array_equal(window.pixels[rows].cpu(), pixels[batch.cpu()])
        np.testing.assert_array_equal(window.labels[rows].cpu(), labels[batch.cpu()])
        seen += 1
    assert seen == steps


def test_slow_reads_arrive_in_order_and_side_by_side(tmp_path, monkeypatch) -> None:
    split, pixels, _ = made(tmp_path)
    read, at_once, most, lock = StoredImages.read, 0, 0, threading.Lock()

    def slow(self, index, out):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002 * (int(index[0]) % 5))  # later ones may be done first
        read(self, index, out)
        with lock:
            at_once -= 1

    monkeypatch.setattr(StoredImages, "read", slow)
    batches, window = torch.arange(300).view(60, 5), split.window(5)
    for batch, rows in zip(batches, split.bring(batches, window), strict=True):
        np.testing.assert_array_equal(window.pixels[rows], pixels[batch])
    assert most > 1


def test_a_read_that_fails_is_raised_where_its_batch_is_wanted(tmp_path) -> None:
    split, _, _ = made(tmp_path)
    broken = dataclasses.replace(split, stored=StoredImages(tmp_path / "gone.npy", np.arange(300)))
    with pytest.raises(ValueError, match=r"gone\.npy"):
        next(broken.bring(torch.arange(10).view(2, 5), split.window(5)))


def test_ragged_batches_and_another_size_are_those_of_a_resident_split(tmp_path) -> None:
    split, pixels, labels = made(tmp_path, count=100, size=16, img_size=8)
    resident = device_images(pixels, labels, img_size=8, device=CPU, **SHAPE)
    window, batches = split.window(64), torch.arange(100).split(64)
    for batch, rows in zip(batches, split.bring(batches, window), strict=True):
        torch.testing.assert_close(window.batch(rows), resident.batch(batch))
        draws = [torch.Generator().manual_seed(3) for _ in range(2)]
        torch.testing.assert_close(
            window.augmented_batch(rows, draws[0]), resident.augmented_batch(batch, draws[1])
        )


@pytest.mark.parametrize("device", DEVICES)
def test_a_split_moved_whole_holds_every_image_at_its_row(tmp_path, device) -> None:
    split, pixels, labels = made(tmp_path, count=5000, size=2, device=device)
    whole = moved_whole(split)
    np.testing.assert_array_equal(whole.pixels.cpu(), pixels)
    np.testing.assert_array_equal(whole.labels.cpu(), labels)


def test_on_the_cpu_stored_images_are_streamed_and_arrays_are_not(tmp_path) -> None:
    split, pixels, labels = made(tmp_path)
    where = {"img_size": 8, "device": CPU, **SHAPE}
    assert isinstance(open_split(split.stored, labels, **where), StreamedImages)
    assert isinstance(open_split(pixels, labels, **where), DeviceImages)
    kept = kept_images(split.stored, labels, **where)
    assert kept_images(split.stored, labels, **where) is kept


def test_stored_images_are_kept_no_longer_than_whoever_asked_for_them(tmp_path) -> None:
    split, _, labels = made(tmp_path)
    images = StoredImages(split.stored.stored, split.stored.rows)
    kept_images(images, labels, img_size=8, device=CPU, **SHAPE)
    there = weakref.ref(images)
    del images
    gc.collect()
    assert there() is None


def photographs(stored_in: Path | None) -> Dataset:
    """Digits, augmented; where a folder is given, stored there."""
    data = dataclasses.replace(load_dataset("digits", train_samples=256), augmentation="crop_flip")
    if stored_in is None:  # with the strides of stored ones, by which torch picks its kernels
        splits = {f"{split}_images": getattr(data, f"{split}_images").copy()
                  for split in ("train", "val", "test")}  # fmt: skip
        return dataclasses.replace(data, **splits)
    splits = {}
    for split in ("train", "val", "test"):
        images = getattr(data, f"{split}_images")
        np.save(stored_in / f"{split}.npy", images)
        rows = np.arange(len(images))
        splits[f"{split}_images"] = StoredImages(stored_in / f"{split}.npy", rows)
    return dataclasses.replace(data, **splits)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_streamed_training_has_the_numbers_of_a_resident_one(
    tmp_path, monkeypatch, device, parts
) -> None:
    monkeypatch.setattr("trainers.device.split._FLOATS_AT_MOST", 0)  # both keep bytes
    monkeypatch.setattr("trainers.device.streaming.RESIDENT_SHARE", 0)
    network = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=2, num_heads=2,
        reattention=(1,),
    )  # fmt: skip
    recipe = Recipe(epochs=2, batch_size=32, recalibration_batches=3, amp="off")
    runs = [
        proxy_epochs(network, photographs(folder), recipe, seed=4, device=device, parts=parts,
                     graphs=True)
        for folder in (None, tmp_path)
    ]  # fmt: skip
    assert [type(run._train) for run in runs] == [DeviceImages, StreamedImages]
    close = 0.0 if device == CPU else 1e-3
    for resident, streamed in zip(*runs, strict=True):
        for name in ("train_loss", "val_loss", "accuracy"):
            assert streamed[name] == pytest.approx(resident[name], rel=close)
    data, shape = photographs(tmp_path), {"mean": (0.3,), "std": (0.2,)}
    stored = evaluate(runs[1].model, data.test_images, data.test_labels, **shape)
    assert stored == evaluate(runs[1].model, data.test_images[:], data.test_labels, **shape)
