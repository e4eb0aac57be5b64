"""`Dataset`: the images of one search as uint8 arrays in three splits."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainers.errors import DataError
from trainers.images.splits import Labels
from trainers.images.stored import Images, StoredImages

if TYPE_CHECKING:
    from space import Architecture

Augmentation = Literal["none", "crop_flip"]
STATISTICS_SAMPLE = 4096  # images that the statistics of a stored split are taken from
_BRIGHTNESS_SAMPLE = 64  # validation images
_COMPARED_AT_MOST = 2 * 10**9  # bytes of images, some seconds
_COUNTED_AT_ONCE = 2**24  # bytes of images; counting takes up to eight times as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Images (N, C, S, S) uint8 and labels (N,) int64 of three splits. `train_*` and `val_*` come
    from the training split and steer the search; `test_*` is for one evaluation after it."""

    # Plain arrays, so that Ray's object store shares them, but `StoredImages` where a split takes
    # more than 256 MiB. `mean` and `std` are those of the training images, as fractions. `skipped`
    # names the unreadable files that were left out, with reasons; `other_files` counts by extension
    # those that do not end like images, most frequent first. `remarks` says how they were found.

    name: str
    train_images: Images
    train_labels: Labels
    val_images: Images
    val_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    skipped: tuple[tuple[str, str], ...] = ()
    other_files: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.train_images.shape[1:]
        for split in ("train", "val", "test"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
                raise DataError(
                    f"`{split}_images` must be uint8 of shape (N, C, S, S) like the other splits, "
                    f"but got {images.dtype} {images.shape}."
                )
            if labels.dtype != np.int64 or labels.shape != images.shape[:1] or not len(labels):
                raise DataError(
                    f"`{split}_labels` must be int64, one for each of {len(images)} images and at "
                    f"least one, but got {labels.dtype} {labels.shape}."
                )
            if not 0 <= labels.min() <= labels.max() < self.num_classes:
                raise DataError(
                    f"`{split}_labels` must be from 0 to {self.num_classes - 1}, but got "
                    f"{labels.min()} to {labels.max()}."
                )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def img_size(self) -> int:
        return int(self.train_images.shape[-1])

    @property
    def in_chans(self) -> int:
        return int(self.train_images.shape[1])

    def fingerprint(self) -> str:
        """16 hex digits of the labels, class names and shapes, the same on every machine."""
        splits = (self.train_images, self.val_images, self.test_images)
        shapes = [images.shape for images in splits]
        digest = hashlib.sha256(json.dumps([self.class_names, shapes]).encode())
        for labels in (self.train_labels, self.val_labels, self.test_labels):
            digest.update(labels.astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def seen_before(self) -> dict[str, int]:
        """How many images of the validation split have the pixels of one to train on, and of the
        test split of any other; 0 where that would read over 2 GB from disk."""
        splits = {
            "train": self.train_images,
            "validation": self.val_images,
            "test": self.test_images,
        }
        counts = dict.fromkeys(splits, 0)
        if sum(images.nbytes for images in splits.values()) <= _COMPARED_AT_MOST:
            seen: set[int] = set()
            for name, images in splits.items():
                pixels = _digests(images)
                counts[name] = sum(one in seen for one in pixels)
                seen.update(pixels)
        return {name: counts[name] for name in ("validation", "test")}

    def brightness(self) -> list[float]:
        """Mean and std of the channels and the means of up to 64 validation images, fractions of
        255: nearly the same for the same images, whatever version of Pillow decoded them."""
        total = len(self.val_images)
        count = min(total, _BRIGHTNESS_SAMPLE)
        rows = [place * total // count for place in range(count)]
        means = [float(self.val_images[row].mean()) / 255 for row in rows]
        return [round(value, 4) for value in (*self.mean, *self.std, *means)]


def _digests(images: Images) -> list[int]:
    """A number for each image that those of the same pixels share, in this process alone."""
    at_once = max(1, _COUNTED_AT_ONCE // math.prod(images.shape[1:]))
    parts = (images[first : first + at_once] for first in range(0, len(images), at_once))
    return [hash(image.tobytes()) for part in parts for image in part]


def check_fits(architecture: Architecture, dataset: Dataset) -> None:
    """Raises ValueError if the network does not take the dataset's channels, classes and size."""
    names = ("in_chans", "num_classes", "img_size")
    ours = tuple(getattr(architecture, name) for name in names)
    theirs = tuple(getattr(dataset, name) for name in names)
    if ours != theirs:
        raise ValueError(
            f"The network's (in_chans, num_classes, img_size) must be those of the images, but got "
            f"{ours} for {theirs} of {dataset.name}: give other --data or --img-size, or another "
            "network."
        )


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of (N, C, H, W), as fractions of 255; exact, but
    for stored images of 4,096 spread evenly over them."""
    rows = np.arange(len(images))
    if isinstance(images, StoredImages):
        count = min(len(images), STATISTICS_SAMPLE)
        rows = np.linspace(0, len(images) - 1, count).astype(np.int64)
    counts = np.zeros((images.shape[1], 256), np.int64)
    at_once = max(1, _COUNTED_AT_ONCE // math.prod(images.shape[1:]))
    for start in range(0, len(rows), at_once):
        part = images[rows[start : start + at_once]]
        for channel in range(len(counts)):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    mean, std = [], []
    for found in counts:
        average = float(found @ values / found.sum())
        variance = float(found @ (values - average) ** 2 / found.sum())
        mean.append(average)
        std.append(max(variance**0.5, 1 / 255))  # a constant channel is not divided by zero
    return tuple(mean), tuple(std)
