"""`load_dataset`: from a name or a folder to a `Dataset`, by one set of rules for every source."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from space.rules import did_you_mean, integer, optional
from trainers.errors import DataError
from trainers.images.cache import cache_root
from trainers.images.dataset import Augmentation, Dataset, channel_statistics
from trainers.images.decode import Source, fit_square
from trainers.images.decoded import DecodedImages, Progress, Unreadable
from trainers.images.folder import read_folder
from trainers.images.splits import Indices, Labels, limit, split_off_test, split_search
from trainers.images.stored import Images

UNREADABLE_SHARE = 0.01
TIMM_PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
_KNOWN = ("digits", *(f"torch/{name}" for name in "cifar10 cifar100 mnist fashion_mnist".split()))
_IMG_SIZE = optional(integer(1, 4096))
_LARGEST_DIGITS = 256  # 118 MB, and 301 MB more for the training split as floats
_LARGEST_DEFAULT_SIZE = 64


class ImageSource(Protocol):
    """Images on disk that are not decoded yet: a folder or a timm dataset. A row is one image."""

    @property
    def name(self) -> str: ...
    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def splits(self) -> Mapping[str, Indices]: ...
    @property
    def augmentation(self) -> Augmentation: ...
    @property
    def other_files(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...
    def source(self, row: int) -> Source: ...
    def sample_sides(self) -> list[int]: ...
    def open_cache(
        self, root: Path, *, img_size: int, progress: Progress | None = None
    ) -> tuple[DecodedImages, Unreadable]: ...


def load_dataset(
    name: str | os.PathLike[str],
    *,
    img_size: int | None = None,
    train_samples: int | None = None,
    val_samples: int | None = None,
    seed: int = 0,
    data_root: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset of that name: "digits", an image folder (layouts: `trainers.images.folder`)
    or a name that `timm.data.create_dataset` takes, such as "torch/cifar10".

    `img_size`: by default 8 for digits, else the median shorter side, at most 64. `train_samples`
    limits the images that are trained on, `val_samples` those that validate; both are stratified
    and drawn by `seed`, whereas the test split is the same for every seed. `data_root` is where a
    timm dataset lies or is downloaded to. Images are decoded once and then read from a cache in
    `cache_dir`; `progress(done, total)` is called while they are decoded.
    Raises DataError, a ValueError.
    """
    if not _IMG_SIZE.holds(img_size):
        raise DataError(_IMG_SIZE.sentence("img_size", img_size))
    if name == "digits":
        return _load_digits(
            img_size or 8, train_samples=train_samples, val_samples=val_samples, seed=seed
        )
    root = cache_root(cache_dir)
    return load_source(
        _find(name, data_root, root),
        img_size=img_size,
        train_samples=train_samples,
        val_samples=val_samples,
        seed=seed,
        root=root,
        progress=progress,
    )


def _find(
    name: str | os.PathLike[str], data_root: str | os.PathLike[str] | None, root: Path
) -> ImageSource:
    text = os.fspath(name)
    if text.partition("/")[0].lower() in TIMM_PREFIXES and not Path(text).exists():
        from trainers.images.timm_names import (
            open_timm,  # torch and timm, which a folder does not need
        )

        return open_timm(text, root=data_root, downloads=root / "datasets")
    if not {"/", os.sep, "."} & set(text) and not Path(text).exists():
        raise DataError(
            f"Unknown dataset {text!r}{did_you_mean(text, _KNOWN)} A dataset is 'digits', a folder "
            "of images, or a name of timm.data.create_dataset such as 'torch/cifar10' or "
            "'hfds/<owner>/<name>'."
        )
    return read_folder(text)


def _load_digits(
    img_size: int, *, train_samples: int | None, val_samples: int | None, seed: int
) -> Dataset:
    """scikit-learn's 1,797 images of 8 x 8 pixels, one channel, values 0 to 16."""
    if img_size > _LARGEST_DIGITS:
        raise DataError(
            f"`img_size` must be at most {_LARGEST_DIGITS} for digits, which have 8 pixels and are "
            f"all kept in memory, but got {img_size}: ask for {_LARGEST_DIGITS} or less."
        )
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    squares = (fit_square(Image.fromarray(image), img_size) for image in images)
    images = np.stack([np.asarray(square) for square in squares])[:, None]
    labels = digits.target.astype(np.int64)
    train_split, test = split_off_test(labels)
    parts = split_search(
        labels[train_split], train_samples=train_samples, val_samples=val_samples, seed=seed
    )
    rows = (train_split[parts[0]], train_split[parts[1]], test)
    return _dataset(
        "digits",
        [images[part] for part in rows],
        [labels[part] for part in rows],
        class_names=tuple(str(name) for name in digits.target_names),
        augmentation="none",
    )


def load_source(
    source: ImageSource,
    *,
    root: Path,
    img_size: int | None = None,
    train_samples: int | None = None,
    val_samples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset of an image source, by the rules of `load_dataset`; decoded below `root`."""
    splits, labels = source.splits, source.labels
    _check_class_sizes(source)
    if "test" in splits:
        train, test = splits["train"], splits["test"]
    else:
        train, test = (splits["train"][part] for part in split_off_test(labels[splits["train"]]))
    if "val" in splits:
        train = limit(labels, train, train_samples, "train_samples", seed=seed)
        val = limit(labels, splits["val"], val_samples, "val_samples", seed=seed)
    else:
        train, val = (
            train[part]
            for part in split_search(
                labels[train], train_samples=train_samples, val_samples=val_samples, seed=seed
            )
        )
    size = img_size or _default_img_size(source.sample_sides())
    cache, unreadable = source.open_cache(root, img_size=size, progress=progress)
    wanted = np.concatenate([train, val, test])
    unreadable = {row: unreadable[row] for row in wanted.tolist() if row in unreadable}
    rest = wanted[~np.isin(wanted, list(unreadable))]
    unreadable |= cache.decode(rest, source.source, progress)
    _check_unreadable(source, unreadable, len(wanted))
    bad, paths = np.array(sorted(unreadable), np.int64), source.paths if unreadable else ()
    rows = [part[~np.isin(part, bad)] for part in (train, val, test)]
    return _dataset(
        source.name,
        [cache.images(part) for part in rows],
        [labels[part] for part in rows],
        class_names=source.class_names,
        augmentation=source.augmentation,
        skipped=tuple((paths[row], unreadable[row]) for row in sorted(unreadable)),
        other_files=source.other_files,
        remarks=source.remarks,
    )


def _dataset(
    name: str,
    images: Sequence[Images],
    labels: Sequence[Labels],
    *,
    class_names: tuple[str, ...],
    augmentation: Augmentation,
    skipped: tuple[tuple[str, str], ...] = (),
    other_files: tuple[tuple[str, int], ...] = (),
    remarks: tuple[str, ...] = (),
) -> Dataset:
    mean, std = channel_statistics(images[0])
    return Dataset(
        name=name,
        train_images=images[0],
        train_labels=labels[0],
        val_images=images[1],
        val_labels=labels[1],
        test_images=images[2],
        test_labels=labels[2],
        class_names=class_names,
        mean=mean,
        std=std,
        augmentation=augmentation,
        skipped=skipped,
        other_files=other_files,
        remarks=remarks,
    )


def _default_img_size(sides: Sequence[int]) -> int:
    """The median side, at most 64, as a multiple of 8."""
    return max(8, min(_LARGEST_DEFAULT_SIZE, int(np.median(sides or [64])) // 8 * 8))


def _check_class_sizes(source: ImageSource) -> None:
    """Every class must reach every split that is made from the training images."""
    parts = ["training"] + ["validation"] * ("val" not in source.splits)
    parts += ["test"] * ("test" not in source.splits)
    counts = np.bincount(source.labels[source.splits["train"]], minlength=len(source.class_names))
    smallest = int(np.argmin(counts))
    if counts[smallest] < len(parts):
        raise DataError(
            f"Every class must have at least {len(parts)} training images, one each for "
            f"{', '.join(parts)}, but class {source.class_names[smallest]!r} of {source.name} has "
            f"{counts[smallest]}: add images or remove the class."
        )


def _check_unreadable(source: ImageSource, unreadable: Unreadable, wanted: int) -> None:
    if len(unreadable) <= UNREADABLE_SHARE * wanted:
        return
    paths = source.paths
    first = [f"  {paths[row]}: {unreadable[row]}" for row in sorted(unreadable)[:10]]
    more = [f"  and {len(unreadable) - 10} more"] if len(unreadable) > 10 else []
    raise DataError(
        f"At most {UNREADABLE_SHARE:.0%} of the images may be unreadable, but {len(unreadable)} of "
        f"{wanted} in {source.name} are; repair or remove them:\n" + "\n".join(first + more)
    )
