"""timm's datasets, read from disk without a network."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from timm.data import IterableImageDataset

from trainers import DataError, load_dataset
from trainers.images.load import load_source
from trainers.images.timm_names import TimmImages


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


def test_a_link_to_nothing_is_named_as_any_broken_file(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", ("train", "test"), each=60)
    (root / "train" / "cat" / "z.png").symlink_to("nowhere")
    data = load_dataset("torch/image_folder", data_root=root, cache_dir=tmp_path / "cache")
    assert ["No such file" in reason for _, reason in data.skipped] == [True]


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

    def __init__(self, count: int, broken: int = -1) -> None:
        self.count, self.broken, self.passes = count, broken, 0
        self.class_to_idx = {"even": 0, "odd": 1}

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        self.passes += 1
        for i in range(self.count):
            image = Image.new("RGB", (16, 16), (i % 256, 0, 0))
            if i == self.broken:
                file = BytesIO()
                image.save(file, "PNG")
                image = Image.open(BytesIO(file.getvalue()[:-30]))  # fails when it is decoded
            yield image, i % 2


def make_streamed(reader: Stream) -> TimmImages:
    return TimmImages(
        name="wds/stream",
        parts=(IterableImageDataset(None, reader=reader),),
        labels=np.arange(600) % 2,
        class_names=("even", "odd"),
        splits={"train": np.arange(600)},
        augmentation="crop_flip",
    )


def test_streamed_dataset_is_decoded_in_one_pass(tmp_path: Path) -> None:
    reader = Stream(600)
    source = make_streamed(reader)
    for _ in range(2):
        data = load_source(source, root=tmp_path)
        np.testing.assert_array_equal(data.train_images[:, 0, 0, 0] % 2, data.train_labels)
        assert data.img_size == 16
    assert reader.passes == 3  # twice for the size


def test_broken_image_of_a_streamed_dataset_is_named_and_left_out(tmp_path: Path) -> None:
    source = make_streamed(Stream(600, broken=17))
    for _ in range(2):  # the second time it is tried again
        data = load_source(source, root=tmp_path)
        assert [path for path, _ in data.skipped] == ["train/17"]
        assert len(data.train_labels) + len(data.val_labels) + len(data.test_labels) == 599


def test_two_places_of_a_dataset_have_a_cache_each(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("a", "b", "a"):
        root = tmp_path / name
        if not root.exists():
            make_folder(root, ("train", "test"), each=10 if name == "a" else 12)
        load_dataset("torch/image_folder", data_root=root, cache_dir=cache)
    assert len(list(cache.glob("images-*"))) == 2


def test_a_test_split_that_cannot_be_fetched_is_not_replaced_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.images import timm_names

    create = timm_names._create

    def unreachable(name, split, options):
        if split == "test":
            raise ConnectionResetError("the network is away")
        return create(name, split, options)

    monkeypatch.setattr(timm_names, "_create", unreachable)
    root = make_folder(tmp_path / "images", ("train", "test"))
    with pytest.raises(DataError, match=r"image_folder \(test\).*the network is away"):
        load_dataset("torch/image_folder", data_root=root, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch/cifar1", r"Unknown torchvision dataset 'cifar1': did you mean 'cifar10'\?"),
        ("torch/places365", "could not be opened in .*--data-root"),
        ("torch/imagenet", "could not be opened in .*--data-root"),
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
    from trainers.images.timm_names import _timm_images

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
