"""timm's datasets, read from disk without a network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from timm.data import IterableImageDataset

from trainers import DataError, load_dataset
from trainers.loading import load_source
from trainers.timm_data import TimmImages


def make_folder(root: Path, splits: tuple[str, ...], each: int = 10) -> Path:
    for place, split in enumerate(splits):
        for label, name in enumerate(("cat", "dog")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(each):
                Image.new("RGB", (8, 8), (i, label, place)).save(folder / f"{i}.png")
    return root


def make_cifar(root: Path) -> Path:
    """CIFAR-10 as torchvision unpacks it, of 40 images; its files are pickles of its own."""
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps(meta))
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        values = np.arange(10, dtype=np.uint8)[:, None].repeat(3072, 1)
        (folder / name).write_bytes(pickle.dumps({"data": values, "labels": list(range(10))}))
    return root


def test_folder_through_torchvision_has_its_own_splits(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", ("train", "validation"))
    data = load_dataset("torch/image_folder", data_root=root, cache_dir=tmp_path / "cache")
    assert data.class_names == ("cat", "dog")
    assert (len(data.train_labels), len(data.val_labels), len(data.test_labels)) == (16, 4, 20)
    np.testing.assert_array_equal(data.train_images[:, 1, 0, 0], data.train_labels)
    assert data.train_images[:, 2].max() == 0
    assert data.test_images[:, 2].min() == 1


def test_training_images_never_serve_as_the_missing_test_split(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", ("train",))
    data = load_dataset("torch/image_folder", data_root=root, cache_dir=tmp_path / "cache")
    assert (len(data.train_labels), len(data.val_labels), len(data.test_labels)) == (13, 3, 4)
    plain = load_dataset(
        "torch/image_folder", data_root=root / "train", cache_dir=tmp_path / "cache"
    )
    assert (len(plain.train_labels), len(plain.val_labels), len(plain.test_labels)) == (13, 3, 4)


def test_broken_file_is_named_and_not_replaced_by_its_neighbour(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", ("train", "test"), each=60)
    (root / "train" / "cat" / "0.png").write_text("no image")
    data = load_dataset("torch/image_folder", data_root=root, cache_dir=tmp_path / "cache")
    assert data.skipped == (("train/0", "not an image, or an unknown format"),)


def test_cifar10_is_read_through_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
    root = make_cifar(tmp_path)
    data = load_dataset("torch/cifar10", data_root=root, cache_dir=tmp_path / "cache")
    assert data.img_size == 32
    assert data.class_names[3] == "class 3"
    assert (len(data.train_labels), len(data.test_labels)) == (40, 10)
    np.testing.assert_array_equal(data.train_images[:, 0, 0, 0], data.train_labels)


class Stream:
    """A reader as timm has for WebDataset and TFDS: it can only be iterated over."""

    def __init__(self, count: int) -> None:
        self.count, self.passes = count, 0
        self.class_to_idx = {"even": 0, "odd": 1}

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        self.passes += 1
        for i in range(self.count):
            yield Image.new("RGB", (16, 16), (i % 256, 0, 0)), i % 2


def test_streamed_dataset_is_decoded_in_one_pass(tmp_path: Path) -> None:
    reader = Stream(600)
    source = TimmImages(
        name="wds/stream",
        parts=(IterableImageDataset(None, reader=reader),),
        labels=np.arange(600) % 2,
        class_names=("even", "odd"),
        splits={"train": np.arange(600)},
        augmentation="crop_flip",
    )
    for _ in range(2):
        data = load_source(source, root=tmp_path)
        np.testing.assert_array_equal(data.train_images[:, 0, 0, 0] % 2, data.train_labels)
        assert data.img_size == 16
    assert reader.passes == 3  # twice for the size


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch/cifar1", r"Unknown torchvision dataset 'cifar1': did you mean 'cifar10'\?"),
        ("torch/places365", "could not be opened in .*data_root"),
        ("torch/imagenet", "could not be opened in .*data_root"),
    ],
)
def test_unusable_names_are_explained(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(name, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("hfds/x/y", "datasets", "pip install datasets"),
        ("tfds/cifar10", "tensorflow", "pip install tensorflow-datasets tensorflow"),
        ("wds/x", "webdataset", "pip install webdataset"),
    ],
)
def test_missing_package_says_what_to_install(
    tmp_path: Path, name: str, module: str, install: str
) -> None:
    import importlib.util

    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed")
    with pytest.raises(DataError, match=install):
        load_dataset(name, cache_dir=tmp_path)


def test_signs_are_not_mirrored() -> None:
    from trainers.timm_data import _timm_images

    for name, expected in {
        "torch/mnist": "none",
        "hfds/ylecun/mnist": "none",
        "tfds/svhn_cropped": "none",
        "torch/fashion_mnist": "crop_flip",
        "torch/cifar10": "crop_flip",
    }.items():
        images = _timm_images(name, ((),), (np.array([0, 1]),), ())
        assert images.augmentation == expected
        assert images.class_names == ("0", "1")
