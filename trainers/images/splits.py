"""Stratified splits: which images train, validate and test; the first two come from the training
split. The test split depends on the labels alone, so that no run has seen another's test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from space.rules import integer
from trainers.errors import DataError

Labels = NDArray[np.int64]
Indices = NDArray[np.int64]

_COUNT = integer(1)
_TEST_SEED = 0
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
MOST_VALIDATION = 10_000


def split_off_test(labels: Labels) -> tuple[Indices, Indices]:
    """(training split, test split) as sorted indices: a fifth of every class is held out."""
    return _split(labels, round(TEST_SHARE * len(labels)), seed=_TEST_SEED)


def split_search(
    labels: Labels, *, train_samples: int | None, val_samples: int | None, seed: int
) -> tuple[Indices, Indices]:
    """(search-training, search-validation) of a training split's `labels`, as sorted indices. A
    smaller `train_samples` takes a subset of what a larger one takes."""
    # By default a fifth of the split validates, at most 10,000 images, and at most half as many as
    # `train_samples`.
    most = len(labels)
    if val_samples is None:
        val_samples = min(round(VALIDATION_SHARE * most), MOST_VALIDATION)
        if train_samples is not None:
            val_samples = min(val_samples, max(train_samples // 2, 1))
        val_samples = max(val_samples, len(np.unique(labels)))
    train, validation = _split(labels, _checked("val_samples", val_samples, below=most), seed=seed)
    return limit(labels, train, train_samples, "train_samples", seed=seed), validation


def limit(labels: Labels, indices: Indices, count: int | None, name: str, *, seed: int) -> Indices:
    """At most `count` of `indices`, stratified, sorted; all of them if `count` is None.

    `name` is the setting that an error names.
    """
    if count is None or _checked(name, count) >= len(indices):
        return indices
    classes = len(np.unique(labels[indices]))
    if count < classes:
        raise DataError(
            f"`{name}` (={count}) must be at least the number of classes (={classes}): "
            f"ask for {classes} or more."
        )
    quota = _quota(labels[indices], count, spare=0)
    return np.sort(indices[_first_of_each_class(labels[indices], quota, seed=seed + 1)])


def _checked(name: str, count: int, *, below: int | None = None) -> int:
    if not _COUNT.holds(count):
        raise DataError(_COUNT.sentence(name, count))
    if below is not None and count >= below:
        raise DataError(
            f"`{name}` (={count}) must be below the number of images in the training split "
            f"(={below}), so that some are left to train on."
        )
    return count


def _split(labels: Labels, count: int, *, seed: int) -> tuple[Indices, Indices]:
    """(rest, taken): `count` images drawn class by class, at least one left in every class."""
    quota = _quota(labels, count, spare=1)
    taken = np.sort(_first_of_each_class(labels, quota, seed=seed))
    rest = np.setdiff1d(np.arange(len(labels)), taken, assume_unique=True)
    return rest, taken


def _quota(labels: Labels, count: int, *, spare: int) -> dict[int, int]:
    """How many of each class make `count`: proportional by largest remainder, at least one each.

    Every class keeps `spare`; the sum differs from `count` only where these bounds force it.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.clip(np.floor(exact).astype(np.int64), 1, sizes - spare)
    for place in np.argsort(quota - exact, kind="stable"):
        if quota.sum() >= count:
            break
        quota[place] = min(quota[place] + 1, sizes[place] - spare)
    while quota.sum() > count and (quota > 1).any():  # one each of many small classes was too much
        quota[np.where(quota > 1, quota - exact, -np.inf).argmax()] -= 1
    return dict(zip(classes.tolist(), quota.tolist(), strict=True))


def _first_of_each_class(labels: Labels, quota: dict[int, int], *, seed: int) -> Indices:
    """The first `quota[c]` images of class c in a random order that only `seed` and c decide."""
    parts = []
    for label, wanted in quota.items():
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, label]).permutation(members)
        parts.append(order[:wanted])
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
