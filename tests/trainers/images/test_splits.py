"""Splits are disjoint, stratified, and decided by labels and seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.errors import DataError
from trainers.images.splits import limit, split_off_test, split_search

LABELS = np.repeat(np.arange(4), [400, 200, 100, 20])


def shares(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.bincount(labels[rows], minlength=4) / len(rows)


@given(sizes=st.lists(st.integers(3, 60), min_size=2, max_size=6), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_three_splits_are_disjoint_and_each_has_every_class(
    sizes: list[int], seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rest, test = split_off_test(labels)
    train, val = (
        rest[part]
        for part in split_search(labels[rest], train_samples=None, val_samples=None, seed=seed)
    )
    together = np.concatenate([train, val, test])
    assert sorted(together.tolist()) == list(range(len(labels)))
    for part in (train, val, test):
        assert set(labels[part]) == set(range(len(sizes)))
        assert (np.diff(part) > 0).all()


def test_every_split_has_the_shares_of_the_whole() -> None:
    train, val = split_search(LABELS, train_samples=360, val_samples=144, seed=0)
    assert len(train) == 360
    assert len(val) == 144
    for part in (train, val):
        np.testing.assert_allclose(
            shares(LABELS, part), [400 / 720, 200 / 720, 100 / 720, 20 / 720]
        )


def test_test_split_is_a_fifth_and_knows_no_seed() -> None:
    rest, test = split_off_test(LABELS)
    assert len(test) == 144
    assert split_off_test(LABELS)[1].tolist() == test.tolist()
    assert len(rest) == 576


def test_another_seed_draws_other_images_and_the_same_seed_the_same() -> None:
    draw = {
        seed: split_search(LABELS, train_samples=100, val_samples=50, seed=seed) for seed in (0, 1)
    }
    again = split_search(LABELS, train_samples=100, val_samples=50, seed=0)
    for part in (0, 1):
        assert draw[0][part].tolist() == again[part].tolist()
        assert draw[0][part].tolist() != draw[1][part].tolist()


def test_fewer_training_images_are_a_subset_of_more() -> None:
    many = split_search(LABELS, train_samples=300, val_samples=100, seed=3)[0]
    few = split_search(LABELS, train_samples=60, val_samples=100, seed=3)[0]
    assert set(few) < set(many)


@pytest.mark.parametrize(
    ("count", "train_samples", "expected"),
    [(1000, None, 200), (1000, 100, 50), (100_000, None, 10_000), (100_000, 5_000, 2_500)],
)
def test_default_validation_is_a_fifth_and_bounded(
    count: int, train_samples: int | None, expected: int
) -> None:
    labels = np.arange(count) % 10
    val = split_search(labels, train_samples=train_samples, val_samples=None, seed=0)[1]
    assert len(val) == expected


@pytest.mark.parametrize("name", ["train_samples", "val_samples"])
@pytest.mark.parametrize("count", [0, -5, 2.5, True])
def test_impossible_counts_name_the_setting(name: str, count: int) -> None:
    counts = {"train_samples": None, "val_samples": None, name: count}
    with pytest.raises(DataError, match=f"`{name}` must be an integer of at least 1"):
        split_search(LABELS, **counts, seed=0)


def test_fewer_training_images_than_classes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"`train_samples` \(=3\) must be at least the number of cl"
    ):
        split_search(LABELS, train_samples=3, val_samples=50, seed=0)


def test_validation_must_leave_training_images() -> None:
    with pytest.raises(DataError, match=r"`val_samples` \(=720\) must be below"):
        split_search(LABELS, train_samples=None, val_samples=720, seed=0)


def test_every_class_keeps_a_training_image() -> None:
    labels = np.array([0] * 50 + [1] * 2)
    train, val = split_search(labels, train_samples=None, val_samples=51, seed=0)
    assert set(labels[train]) == set(labels[val]) == {0, 1}


def test_no_limit_and_a_high_limit_keep_all() -> None:
    rows = np.arange(720)
    assert limit(LABELS, rows, None, "val_samples", seed=0).tolist() == rows.tolist()
    assert limit(LABELS, rows, 5000, "val_samples", seed=0).tolist() == rows.tolist()


@given(
    sizes=st.lists(st.integers(1, 300), min_size=2, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_a_limit_is_kept_to_the_image_however_long_the_tail(
    sizes: list[int], share: float, seed: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = max(len(sizes), round(share * len(labels)))
    rows = limit(labels, np.arange(len(labels)), count, "train_samples", seed=seed)
    assert len(rows) == count
    assert set(labels[rows]) == set(range(len(sizes)))
