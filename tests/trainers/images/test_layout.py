"""Split folders as they are named in the wild, and layouts that are none of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from trainers.errors import DataError
from trainers.images.folder import read_folder
from trainers.images.layout import find_layout, listed

PAIRS = [
    ("train_mini", "val"),
    ("training_set", "test_set"),
    ("seg_train", "seg_test"),
    ("Train Data", "Test Data"),
    ("TrainImages", "TestImages"),
    ("train2017", "val2017"),
    ("train_images", "test_images"),
    ("train_val", "test"),
    ("trainval", "Testing"),
    ("trainset", "testset"),
    ("cifar10-train", "cifar10-valid"),
    ("données_train", "données_test"),
]


def fill(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def classes_in(*folders: str) -> list[str]:
    return [f"{folder}/{name}/1.jpg" for folder in folders for name in ("cat", "dog")]


@pytest.mark.parametrize(("train", "test"), PAIRS)
def test_splits_are_known_by_their_words(tmp_path: Path, train: str, test: str) -> None:
    fill(tmp_path, classes_in(train, test))
    assert find_layout(tmp_path).splits == {"train": tmp_path / train, "test": tmp_path / test}


@pytest.mark.parametrize("names", [("train_station", "test_tube"), ("bullet_train", "car")])
def test_a_word_more_is_a_class(tmp_path: Path, names: Sequence[str]) -> None:
    folder = read_folder(fill(tmp_path, [f"{name}/{i}/1.jpg" for name in names for i in "12"]))
    assert folder.class_names == names[::-1] if names[0] > names[1] else names


def test_a_split_in_a_folder_of_its_own_name_is_found(tmp_path: Path) -> None:
    fill(tmp_path, [*classes_in("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/1.jpg"])
    folder = read_folder(tmp_path)
    assert folder.class_names == ("cat", "dog")
    assert folder.remarks == (
        "Splits: seg_train/seg_train/ is the training split, seg_test/seg_test/ the test split, a "
        "fifth of the training images validates.",
        "Not used: the folders 'seg_pred' beside seg_train/seg_train/.",
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (classes_in("pretrain", "test"), "has 'test' and no train"),
        (classes_in("val", "test"), "has 'test', 'val' and no train: name the training split"),
        (classes_in("test"), "has 'test' and no train"),
        ([*classes_in("."), *classes_in("test")], "has 'test' and no train"),
        (["train/1.jpg", "test/1.jpg"], "has 'test', 'train': name the training split train"),
        (["train2017/1.jpg", "val2017/1.jpg", "annotations/1.json"], "must have a training split"),
        (classes_in("train2014", "train2017"), "must be one folder, but .* has 'train2014', 'tr"),
        (classes_in("train", "val2014", "val2017"), "The val split must be one folder"),
        (["images/train/1.jpg", "labels/train/1.txt"], "'images', 'labels', as detection"),
        (["train/images/1.jpg", "train/labels/1.txt", "data.yaml"], "as detection and segm"),
        (["images/1.jpg", "masks/1.png"], "as detection and segmentation have them"),
        (["JPEGImages/1.jpg", "Annotations/1.xml"], "as detection and segmentation have them"),
        (["images/1.jpg", "labels.csv"], r"Tables of labels \('labels.csv'\) are not read"),
        (["1.jpg", "2.jpg", "train.csv"], r"Tables of labels \('train.csv'\) are not read"),
        (["train/1.jpg", "test/1.jpg", "a.tsv"], r"Tables of labels \('a.tsv'\) are not read"),
        (
            [f"{c}/{s}/1.jpg" for c in ("cat", "dog") for s in ("train", "test")],
            "Splits must lie above the classes, but .* has cat/train: move it to train/cat",
        ),
        (classes_in("archive/train", "archive/test"), "It holds splits: give .*/archive"),
    ],
)
def test_other_layouts_are_refused_in_words(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_folder(fill(tmp_path, files))


def test_classes_that_hold_the_same_folders_may_be_splits(tmp_path: Path) -> None:
    folder = read_folder(fill(tmp_path, classes_in("part1", "part2")))
    assert "all hold the folders 'cat', 'dog': if they are splits, name them" in folder.remarks[-1]


def test_many_names_are_counted() -> None:
    assert listed("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"
    assert listed(["a"]) == "'a'"
