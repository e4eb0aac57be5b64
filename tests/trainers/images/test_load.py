"""Loading: the right images in the right split, broken files in bounds, mistakes explained."""

from __future__ import annotations

import dataclasses
import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits as sklearn_digits

from trainers import DataError, Dataset, load_dataset


def make_folder(root: Path, sizes: dict[str, int], *, side: int = 16) -> Path:
    """Flat images, each of its own colour: file number `i` of a class has red value `i`."""
    for place, (folder, count) in enumerate(sizes.items()):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (side, side), (i, place * 50, 0)).save(root / folder / f"{i:03}.png")
    return root


def load(folder: Path, **options: object) -> Dataset:
    return load_dataset(folder, cache_dir=folder.parent / "cache", **options)


def colours(images: np.ndarray) -> set[tuple[int, int]]:
    return {(int(image[0, 0, 0]), int(image[1, 0, 0])) for image in images}


def test_digits_are_scikit_learns_images_in_three_disjoint_splits() -> None:
    data = load_dataset("digits")
    assert (data.img_size, data.in_chans, data.num_classes) == (8, 1, 10)
    assert data.augmentation == "none"
    images = np.concatenate([data.train_images, data.val_images, data.test_images])
    digits = sklearn_digits()
    ours = sorted(np.rint(image[0] / 255 * 16).astype(int).tobytes() for image in images)
    theirs = sorted(image.astype(int).tobytes() for image in digits.images)
    assert ours == theirs
    assert len(data.train_labels) > 1000
    for labels in (data.train_labels, data.val_labels, data.test_labels):
        assert np.bincount(labels).min() >= 0.08 * len(labels)


def test_digits_keep_image_and_label_together() -> None:
    data, digits = load_dataset("digits", seed=3), sklearn_digits()
    by_image = {
        image.astype(int).tobytes(): label
        for image, label in zip(digits.images, digits.target, strict=True)
    }
    for image, label in zip(data.val_images, data.val_labels, strict=True):
        assert by_image[np.rint(image[0] / 255 * 16).astype(int).tobytes()] == label


def test_digits_come_in_any_size() -> None:
    assert load_dataset("digits", img_size=12).train_images.shape[1:] == (1, 12, 12)


def test_seed_changes_search_splits_and_never_the_test_split() -> None:
    one, two = load_dataset("digits", seed=0), load_dataset("digits", seed=1)
    np.testing.assert_array_equal(one.test_images, two.test_images)
    assert one.train_images.tobytes() != two.train_images.tobytes()
    assert one.val_images.tobytes() != two.val_images.tobytes()
    assert load_dataset("digits", seed=1).train_images.tobytes() == two.train_images.tobytes()


def test_plain_folder_makes_three_disjoint_splits(tmp_path: Path) -> None:
    data = load(make_folder(tmp_path / "images", {"cat": 50, "dog": 50}))
    parts = [colours(getattr(data, f"{split}_images")) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [64, 16, 20]
    assert len(set.union(*parts)) == 100
    assert data.class_names == ("cat", "dog")
    assert data.augmentation == "crop_flip"


def test_test_folder_is_the_test_split_and_nothing_of_it_is_searched(tmp_path: Path) -> None:
    sizes = {"train/a": 40, "train/b": 40, "test/a": 5, "test/b": 6}
    data = load(make_folder(tmp_path / "images", sizes))
    assert colours(data.test_images) == {(i, 100) for i in range(5)} | {(i, 150) for i in range(6)}
    assert colours(data.train_images) | colours(data.val_images) == {
        (i, place) for i in range(40) for place in (0, 50)
    }


def test_validation_folder_beside_a_test_folder_validates(tmp_path: Path) -> None:
    names = ("train/a", "train/b", "val/a", "val/b", "test/a", "test/b")
    data = load(make_folder(tmp_path / "images", dict.fromkeys(names, 4)))
    assert {place for _, place in colours(data.val_images)} == {100, 150}
    assert {place for _, place in colours(data.test_images)} == {200, 250}
    assert len(data.train_labels) == 8


def test_samples_limit_training_and_validation(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 60, "b": 30})
    data = load(folder, train_samples=12)
    assert np.bincount(data.train_labels).tolist() == [8, 4]
    assert len(data.val_labels) == 6
    assert len(load(folder, train_samples=12, val_samples=9).val_labels) == 9
    assert len(data.test_labels) == 18


def test_only_images_that_take_part_are_decoded(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    folder = make_folder(tmp_path / "images", {"a": 100, "b": 100})
    load(folder, train_samples=20, progress=lambda *call: calls.append(call))
    assert calls[-1] == (20 + 10 + 40, 20 + 10 + 40)


def test_second_load_decodes_nothing_and_is_equal(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 20, "b": 20})
    first = load(folder)
    calls: list[tuple[int, int]] = []
    second = load(folder, progress=lambda *call: calls.append(call))
    assert not calls
    for field in dataclasses.fields(Dataset):
        np.testing.assert_equal(getattr(first, field.name), getattr(second, field.name))


def test_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 20, "b": 20})
    before = load(folder)
    for path in folder.glob("*/*.png"):
        Image.new("RGB", (16, 16), "white").save(path)
        os.utime(path, ns=(1, 1))
    after = load(folder)
    assert before.train_images.min() == 0
    assert after.train_images.min() == 255


def test_pixels_changed_in_place_with_size_and_time_kept_are_decoded_anew(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5})
    for value in (10, 200):
        for path in folder.glob("*/*.png"):
            Image.new("RGB", (16, 16), (value, 7, 7)).save(path, "BMP")
            os.utime(path, (0, 0))
        assert load(folder).train_images.max() == value


@pytest.mark.parametrize(("side", "expected"), [(17, 16), (5, 8), (40, 40), (100, 64)])
def test_default_size_is_the_median_within_bounds(tmp_path: Path, side: int, expected: int) -> None:
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5}, side=side)
    assert load(folder).img_size == expected


def test_greyscale_files_stay_three_channels(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5})
    for path in folder.glob("*/*.png"):
        Image.new("L", (16, 16), 77).save(path)
    data = load(folder)
    assert data.in_chans == 3
    assert data.train_images.min() == data.train_images.max() == 77


def test_one_percent_unreadable_is_skipped_and_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 100, "b": 100})
    (folder / "a" / "007.png").write_text("no image")
    (folder / "b" / "001.png").write_bytes(b"")
    data = load(folder)
    assert dict(data.skipped) == {
        "a/007.png": "not an image, or an unknown format",
        "b/001.png": "not an image, or an unknown format",
    }
    assert len(data.train_labels) + len(data.val_labels) + len(data.test_labels) == 198
    assert dict(load(folder).skipped) == dict(data.skipped)


def test_files_of_other_formats_are_carried_along(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 20, "b": 20})
    (folder / "a" / "photo.heic").touch()
    assert load(folder).other_files == ((".heic", 1),)
    assert load_dataset("digits").other_files == ()


def test_more_unreadable_is_an_error_that_lists_the_first_ten(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 100, "b": 100})
    for i in range(12):
        (folder / "a" / f"{i:03}.png").write_text("no image")
    with pytest.raises(DataError, match=r"12 of 200 .* are") as caught:
        load(folder)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:11]] == [
        f"a/{i:03}.png" for i in range(10)
    ]
    assert lines[11].strip() == "and 2 more"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that answers EIO")
def test_a_file_that_the_disk_does_not_give_ends_the_loading_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.images.decoded.READ_AGAIN.sleep", lambda seconds: None)
    folder = make_folder(tmp_path / "images", {"a": 100, "b": 100})
    (folder / "b" / "007.png").unlink()
    (folder / "b" / "007.png").symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"but .*/b/007.png: Input/output error"):
        load(folder, img_size=16)
    (folder / "b" / "007.png").unlink()
    assert not load(folder, img_size=16).skipped


def test_a_disk_that_fails_as_files_are_listed_costs_no_decoded_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: object, *arguments: object, **options: object) -> os.stat_result:
        if str(path).endswith("/b/007.png"):
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out", path)
        return stat(path, *arguments, **options)

    folder, stat = make_folder(tmp_path / "images", {"a": 20, "b": 20}), os.stat
    load(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        with pytest.raises(DataError, match=r"but .*/b/007.png: Connection timed out\. See that"):
            load(folder)
    calls: list[tuple[int, int]] = []
    load(folder, progress=lambda *call: calls.append(call))
    assert not calls


def test_a_folder_whose_own_name_is_not_utf8_is_loaded(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / os.fsdecode(b"caf\xe9"), {"a": 5, "b": 5})
    assert load(folder).train_images.shape == load(folder).train_images.shape
    assert load(folder).name == str(folder)


def test_damaged_files_among_others_are_read_or_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"a": 150, "b": 150})
    (folder / "a" / "link.jpg").symlink_to("link.jpg")
    (folder / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "b" / "pipe.jpg")
    data = load(folder)
    assert set(dict(data.skipped)) == {"a/link.jpg", "a/gone.jpg", "b/pipe.jpg"}
    assert dict(data.skipped)["b/pipe.jpg"] == "not a regular file"


def test_class_too_small_to_split_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"many": 20, "few": 2})
    with pytest.raises(DataError, match=r"at least 3 training images.*class 'few' .* has 2"):
        load(folder)
    split = make_folder(tmp_path / "split", {"train/a": 4, "train/b": 1, "test/a": 1})
    with pytest.raises(DataError, match=r"at least 2 training images.*class 'b' .* has 1"):
        load(split)


@pytest.mark.parametrize("img_size", [0, -8, 5000, 8.0, "8", True])
def test_impossible_image_size_is_refused(img_size: object) -> None:
    with pytest.raises(DataError, match="`img_size` must be an integer from 1 to 4096"):
        load_dataset("digits", img_size=img_size)


@pytest.mark.parametrize("img_size", [257, 1024, 4096])
def test_digits_too_large_for_memory_are_refused_before_one_is_resized(img_size: int) -> None:
    tracemalloc.start()
    try:
        rule = rf"`img_size` must be at most 256 for digits, .* but got {img_size}: ask for 256 or"
        with pytest.raises(DataError, match=rule):
            load_dataset("digits", img_size=img_size)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_the_largest_digits_are_loaded() -> None:
    assert load_dataset("digits", img_size=256).test_images.shape[1:] == (1, 256, 256)


@pytest.mark.parametrize("name", ["digit", "Digits", "didgits"])
def test_unknown_name_offers_the_nearest(name: str) -> None:
    with pytest.raises(DataError, match=r"Unknown dataset .* did you mean 'digits'\?"):
        load_dataset(name)


def test_unknown_name_says_what_is_accepted() -> None:
    with pytest.raises(DataError, match=r"'digits', a folder of images, or a name of timm"):
        load_dataset("qqq")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be a directory, but .* is missing"):
        load(tmp_path / "nowhere")
