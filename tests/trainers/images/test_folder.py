"""Image folders: which files are found, in which class and split, whatever the file system does."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.errors import DataError
from trainers.images.decode import UnreadableImageError
from trainers.images.folder import read_folder

KINDS = (".jpg", ".heic")


def fill(folder: Path, names: Iterable[str]) -> Path:
    """Empty image files; nothing here is decoded."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_plain_classes_are_one_training_split(tmp_path: Path) -> None:
    folder = read_folder(fill(tmp_path, ["cat/2.jpg", "cat/1.PNG", "dog/deep/er/1.webp"]))
    assert folder.class_names == ("cat", "dog")
    assert folder.paths == ("cat/1.PNG", "cat/2.jpg", "dog/deep/er/1.webp")
    assert folder.labels.tolist() == [0, 0, 1]
    assert folder.splits.keys() == {"train"}


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("test", ["test", "testing", "val", "VAL", "valid", "validation"])
def test_second_split_is_the_test_split(tmp_path: Path, train: str, test: str) -> None:
    fill(tmp_path, [f"{train}/{c}/{i}.jpg" for c in "ab" for i in range(3)])
    folder = read_folder(fill(tmp_path, [f"{test}/b/0.jpg"]))
    assert {split: len(rows) for split, rows in folder.splits.items()} == {"train": 6, "test": 1}
    assert folder.labels[folder.splits["test"]].tolist() == [1]


def test_three_splits_keep_their_roles(tmp_path: Path) -> None:
    fill(
        tmp_path, [f"{s}/{c}/{i}.jpg" for s in ("train", "val", "test") for c in "ab" for i in "12"]
    )
    folder = read_folder(tmp_path)
    for split, rows in folder.splits.items():
        assert all(folder.paths[row].startswith(split) for row in rows)
    assert folder.splits.keys() == {"train", "val", "test"}


def test_train_may_be_the_name_of_a_class(tmp_path: Path) -> None:
    folder = read_folder(fill(tmp_path, ["train/1.jpg", "car/1.jpg"]))
    assert folder.class_names == ("car", "train")


def test_a_second_spelling_of_a_split_and_other_folders_are_said(tmp_path: Path) -> None:
    names = [f"{s}/{c}/1.jpg" for s in ("train", "training", "dev", "test") for c in "ab"]
    folder = read_folder(fill(tmp_path, [*names, "__MACOSX/train/._1.jpg"]))
    assert folder.remarks == (
        "Splits: train/ is the training split, test/ the test split, a fifth of the training "
        "images validates.",
        "Not used: the folders 'dev', 'training' beside train/.",
    )


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ([], "No folder is a split, so a fifth of every class is held out as the test split."),
        (["train"], "Splits: train/ is the training split, a fifth of every class of it is held"),
        (["train", "val"], "Splits: train/ is the training split, val/ the test split, a fifth"),
        (
            ["Train Data", "valid", "test_set"],
            "Splits: Train Data/ is the training split, valid/ the validation split, test_set/ the "
            "test split.",
        ),
    ],
)
def test_which_folder_became_which_split_is_said(
    tmp_path: Path, splits: list[str], said: str
) -> None:
    fill(tmp_path, [f"{split}/{c}/{i}.jpg" for split in splits or ["."] for c in "ab" for i in "1"])
    (remark,) = read_folder(tmp_path).remarks
    assert remark.startswith(said)


def test_a_class_that_a_split_lacks_is_named(tmp_path: Path) -> None:
    names = [f"{s}/{c}/1.jpg" for s in ("train", "val", "test") for c in ("ant", "bee", "cat")]
    names.remove("val/bee/1.jpg")
    folder = read_folder(fill(tmp_path, names))
    assert folder.remarks[1:] == ("The val split has no image of 1 of 3 classes: 'bee'.",)


def test_spellings_that_unicode_takes_for_the_same_are_one_class(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    names = [f"train/{one}/1.jpg", f"train/{two}/2.jpg", "train/tea/1.jpg", f"test/{two}/1.jpg"]
    folder = read_folder(fill(tmp_path, names))
    assert [unicodedata.normalize("NFC", name) for name in folder.class_names] == [one, "tea"]
    assert folder.labels.tolist() == [0, 0, 1, 0]
    assert f"The 2 Unicode spellings of {one!r} are one class." in folder.remarks


@pytest.mark.parametrize("twin", ["Cat", "cat\u200b", "ｃａｔ", " cat"])
def test_classes_that_look_alike_are_said_and_told_apart(tmp_path: Path, twin: str) -> None:
    folder = read_folder(fill(tmp_path / "one", [f"{name}/1.jpg" for name in ("cat", "dog", twin)]))
    (said,) = (remark for remark in folder.remarks if "look alike, but are 2 classes" in remark)
    assert "'cat'" in said
    fill(tmp_path / "two", ["train/cat/1.jpg", "train/dog/1.jpg", f"test/{twin}/1.jpg"])
    with pytest.raises(DataError, match=r"test split .*, not 'cat': rename or remove it"):
        read_folder(tmp_path / "two")


def test_order_does_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    names = [f"{c}/{i}.jpg" for c in "abc" for i in range(20)]
    one = read_folder(fill(tmp_path / "one", names))
    two = read_folder(fill(tmp_path / "two", np.random.default_rng(0).permutation(names)))
    assert one.paths == two.paths


def test_hidden_and_other_files_are_no_images(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/._1.jpg", "a/notes.txt", "a/Thumbs.db", ".hidden/1.jpg", "b/1.jpg"]
    assert read_folder(fill(tmp_path, names)).paths == ("a/1.jpg", "b/1.jpg")


def test_files_of_other_formats_are_counted_by_extension(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg", "a/2.HEIC", "b/deep/3.heic", "a/4.mov", "a/5", "a/.hidden.heic"]
    folder = read_folder(fill(tmp_path, [*names, "a/notes.txt", "b/Thumbs.db", "loose.heic"]))
    os.mkfifo(tmp_path / "a" / "pipe.heic")
    (tmp_path / "a" / "link.heic").symlink_to("link.heic")
    assert folder.other_files == ((".heic", 2), ("", 1), (".mov", 1))
    assert read_folder(tmp_path).other_files == folder.other_files


def test_files_of_other_formats_are_counted_in_all_splits(tmp_path: Path) -> None:
    names = [f"{split}/{c}/1{end}" for split in ("train", "test") for c in "ab" for end in KINDS]
    assert read_folder(fill(tmp_path, names)).other_files == ((".heic", 4),)


def test_linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    real = fill(tmp_path / "real", ["x/1.jpg", "y/1.jpg"])
    farm = tmp_path / "farm"
    (farm / "b").mkdir(parents=True)
    (farm / "a").symlink_to(real / "x")
    (farm / "b" / "1.jpg").symlink_to(real / "y" / "1.jpg")
    assert read_folder(farm).paths == ("a/1.jpg", "b/1.jpg")


def test_folder_linked_twice_counts_once_under_the_first_name(tmp_path: Path) -> None:
    real = fill(tmp_path / "real", ["1.jpg"])
    root = fill(tmp_path / "root", ["a/1.jpg", "b/1.jpg"])
    for name in ("x", "y"):
        (root / "a" / name).symlink_to(real)
    assert read_folder(root).paths == ("a/1.jpg", "a/x/1.jpg", "b/1.jpg")


def test_link_loops_end_and_bring_no_image_of_another_class(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", ["a/1.jpg", "b/1.jpg"])
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "above").symlink_to(tmp_path)
    (root / "a" / "circle").symlink_to("circle")
    (root / "b" / "circle.jpg").symlink_to("circle.jpg")
    assert read_folder(root).paths == ("a/1.jpg", "b/1.jpg", "b/circle.jpg")


def test_pipes_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder = fill(tmp_path, ["a/1.jpg", "b/1.jpg"])
    os.mkfifo(folder / "a" / "2.jpg")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        read_folder(folder).source(1)


def test_sides_are_read_from_headers_and_broken_files_passed_over(tmp_path: Path) -> None:
    folder = fill(tmp_path, ["a/1.jpg", "b/1.png"])
    Image.new("RGB", (40, 30)).save(folder / "b" / "1.png")
    assert read_folder(folder).sample_sides() == [30]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "but .* has no images"),
        (["1.jpg"], "but .* has images but no class folders"),
        (["a/1.jpg"], "at least two classes .* but .* has only 'a'"),
        (["a/1.jpg", "b/notes.txt"], "but .*/b has none"),
        (["a/notes.txt", "b/notes.txt"], "but .*/a has none"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg"], "test split .* has 'c'"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/a/x.txt"], "A split must hold images"),
        (
            ["train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"],
            "but .*/test has images but no class folders: move it elsewhere, and a fifth of the "
            "training images is held out instead",
        ),
    ],
)
def test_unusable_folders_are_explained(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_folder(fill(tmp_path, files))


def test_missing_folder_and_file_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is missing"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is a file"):
        read_folder(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_permission_is_explained(tmp_path: Path) -> None:
    folder = fill(tmp_path, ["a/1.jpg", "b/1.jpg"])
    (folder / "a").chmod(0)
    try:
        with pytest.raises(DataError, match="must be readable"):
            read_folder(folder)
    finally:
        (folder / "a").chmod(0o700)
