"""Datasets that `timm.data.create_dataset` names: torchvision, Hugging Face, TFDS, WebDataset."""

# The train split trains. The test split, or the validation split where no test labels are public,
# is the test split; without either a fifth of the training images is held out.

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timm.data import create_dataset
from torch.utils.data import IterableDataset

from space.rules import did_you_mean
from trainers.errors import DataError
from trainers.images.cache import open_cache, size_and_times
from trainers.images.dataset import Augmentation
from trainers.images.decode import Source, sample_sides
from trainers.images.decoded import DecodedImages, Progress, Unreadable
from trainers.images.splits import Labels

_DOWNLOADED = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
_TORCH_NAMES = (*_DOWNLOADED, "imagenet", "inaturalist", "places365", "image_folder")
# A shifted or mirrored sign may be another sign.
_SIGNS = ("mnist", "kmnist", "qmnist", "emnist", "svhn", "svhn_cropped", "usps", "omniglot")
_PACKAGES = {
    "hfds": "datasets",
    "hfids": "datasets",
    "tfds": "tensorflow-datasets tensorflow",
    "wds": "webdataset",
}
_STREAM_WINDOW = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmImages:
    """The splits of a timm dataset one after another; a row counts through all. `parts` have an
    (image, label) per row, or only iterate over them (`streamed`): those are read once, in
    order."""

    name: str
    parts: tuple[Any, ...]
    labels: Labels
    class_names: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    augmentation: Augmentation
    root: str | None = None
    other_files: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def paths(self) -> Sequence[str]:
        return [f"{split}/{i}" for split, rows in self.splits.items() for i in range(len(rows))]

    @property
    def streamed(self) -> bool:
        return any(isinstance(part, IterableDataset) for part in self.parts)

    def source(self, row: int) -> Source:
        """The image of that row, opened if it lies in a file. Not for a streamed dataset."""
        for part in self.parts:
            if row < len(part):
                return _image(part, row)
            row -= len(part)
        raise IndexError(row)

    def sample_sides(self) -> list[int]:
        """The shorter sides of some training images."""
        if self.streamed:
            return [min(image.size) for image, _ in islice(self.parts[0], _STREAM_WINDOW)]
        return sample_sides(self.source, self.splits["train"])

    def open_cache(
        self, root: Path, *, img_size: int, progress: Progress | None = None
    ) -> tuple[DecodedImages, Unreadable]:
        """The decoded images, one row each; a streamed dataset is decoded here and now."""
        contents = {
            "source": self.name if self.root is None else f"{self.name} in {self.root}",
            "files": [_fingerprint(part) for part in self.parts],
            "labels": self.labels.tolist(),
        }
        count = len(self.labels)
        cache = open_cache(root, contents, count=count, img_size=img_size)
        unreadable: Unreadable = {}
        if self.streamed and (missing := cache.missing()):
            cache.require_room(missing)
            images = (image for part in self.parts for image, _ in part)
            for first in range(0, count, _STREAM_WINDOW):
                window = list(islice(images, _STREAM_WINDOW))
                rows = np.arange(first, first + len(window))
                found = dict(zip(rows.tolist(), window, strict=True))
                unreadable |= cache.decode(rows, found.__getitem__)
                if progress is not None:
                    progress(first + len(window), count)
        return cache, unreadable


def open_timm(name: str, *, root: str | os.PathLike[str] | None, downloads: Path) -> TimmImages:
    """Opens, and where torchvision can, downloads a dataset by its timm name. Raises DataError
    saying what to install, to put there, or to write instead."""
    # `root`: where it lies; by default `downloads` for torchvision and the library's own place for
    # the others.
    prefix, _, rest = name.partition("/")
    prefix = prefix.lower()
    if prefix == "torch" and rest.lower() not in _TORCH_NAMES:
        raise DataError(f"Unknown torchvision dataset {rest!r}{did_you_mean(rest, _TORCH_NAMES)}")
    options: dict[str, Any] = {"root": None if root is None else os.fspath(root)}
    if prefix == "torch":
        options["root"] = os.fspath(root or downloads)
        if rest.lower() in _DOWNLOADED:
            options["download"] = True
    train = _open(name, "train", prefix, options)
    labels, class_names = _labels(train), _class_names(train)
    place = None if root is None else os.path.abspath(root)
    for split in ("test", "validation"):
        try:
            test = _create(name, split, options)
            test_labels = _labels(test)
            same_classes = _class_names(test) == class_names and test_labels.min() >= 0
            usable = same_classes and _files(train).isdisjoint(_files(test))
        except FileNotFoundError:
            continue
        except (OSError, MemoryError) as error:  # the disk or the network: it may well exist
            raise _unopened(f"{name} ({split})", options, error) from error
        except Exception:  # libraries have no common word for a split that does not exist
            continue
        if usable:
            return _timm_images(name, (train, test), (labels, test_labels), class_names, place)
    return _timm_images(name, (train,), (labels,), class_names, place)


def _timm_images(
    name: str,
    parts: tuple[Any, ...],
    labels: tuple[Labels, ...],
    class_names: tuple[str, ...],
    root: str | None = None,
) -> TimmImages:
    ends = np.cumsum([0, *map(len, labels)])
    together = np.concatenate(labels)
    classes = max(int(together.max()) + 1, len(class_names))
    return TimmImages(
        name=name,
        parts=parts,
        labels=together,
        class_names=class_names or tuple(str(label) for label in range(classes)),
        splits={
            split: np.arange(ends[i], ends[i + 1])
            for i, split in enumerate(("train", "test")[: len(parts)])
        },
        augmentation="none" if name.lower().rpartition("/")[2] in _SIGNS else "crop_flip",
        root=root,
    )


def _open(name: str, split: str, prefix: str, options: dict[str, Any]) -> Any:
    try:
        return _create(name, split, options)
    except (ImportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Please install" not in str(error):
            raise _unopened(name, options, error) from error
        raise DataError(
            f"Dataset {name!r} needs another package: pip install {_PACKAGES.get(prefix, '')}"
            f" ({error})."
        ) from error
    except Exception as error:
        raise _unopened(name, options, error) from error


def _unopened(name: str, options: dict[str, Any], error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
    where = options["root"] or "its library's data directory"
    return DataError(
        f"Dataset {name!r} could not be opened in {where}: {reason}. Check the name and the "
        "network, or put the data there, or give the directory that holds it by --data-root."
    )


def _create(name: str, split: str, options: dict[str, Any]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars and advice
        return create_dataset(name, split=split, search_split=True, **options)


def _labels(part: Any) -> Labels:
    """The label of every image, without decoding where the dataset can tell."""
    reader: Any = getattr(part, "reader", None)
    if hasattr(reader, "iter_targets"):
        labels: Iterable[Any] = reader.iter_targets()
    elif hasattr(reader, "samples"):
        labels = (sample[1] for sample in reader.samples)
    elif hasattr(part, "targets"):
        labels = np.asarray(part.targets).reshape(len(part), -1)[:, 0]
    elif isinstance(part, IterableDataset):
        labels = (label for _, label in part)
    else:
        labels = (part[row][1] for row in range(len(part)))
    return np.array([int(label) for label in labels], np.int64)


def _class_names(part: Any) -> tuple[str, ...]:
    names = getattr(part, "classes", None)
    if names is None:
        by_name = getattr(getattr(part, "reader", None), "class_to_idx", None) or {}
        names = sorted(by_name, key=by_name.__getitem__)
    return tuple(str(name[0] if isinstance(name, tuple) else name) for name in names)


def _image(part: Any, row: int) -> Source:
    """Where it lies in a file the file: timm would put the next image in place of a broken one."""
    image: Source
    if hasattr(part, "reader"):
        image = part.reader[row][0]
    elif hasattr(part, "samples"):
        image = part.samples[row][0]
    else:
        image = part[row][0]
    return image


def _files(part: Any) -> set[str]:
    """The files of a part that lies in single files; a missing split may be the whole folder."""
    samples = getattr(getattr(part, "reader", part), "samples", ())
    return {os.fspath(path) for path, *_ in samples}


def _fingerprint(part: Any) -> list[Any]:
    """What changes with the pixels: files with size and times, a Hugging Face digest, or a name."""
    reader, files = getattr(part, "reader", part), sorted(_files(part))
    if files:
        return [[path, *size_and_times(path)] for path in files]
    digest = getattr(getattr(reader, "dataset", None), "_fingerprint", None)
    return [type(reader).__name__, str(digest or getattr(part, "root", ""))]
