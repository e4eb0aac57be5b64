"""Image folders: which files are which class and split, and their pixels through the cache."""

# Layouts, `*` at any depth below a class, names of splits and extensions in any case:
# * `train/<class>/*` with `test/<class>/*` or `val/<class>/*`: the second is the test split.
# * `train`, `val` and `test`: `val` is the search-validation split as it is.
# * `train/<class>/*` alone, or `<class>/*`: a fifth of every class becomes the test split.

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainers.errors import DataError
from trainers.images.cache import open_cache, size_and_times
from trainers.images.decode import EXTENSIONS, UnreadableImageError, sample_sides
from trainers.images.decoded import DecodedImages, Progress, Unreadable
from trainers.images.splits import Labels

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
BY_PRODUCTS = tuple(".txt .csv .json .xml .md .py .db .ini".split())  # notes, Thumbs.db


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """The files of a folder: `paths` relative to `root`, sorted, with their `labels`. `splits` maps
    "train", and "val" and "test" if it has them, to rows of `paths`. `other_files`: the other
    extensions, most frequent first."""

    root: Path
    paths: tuple[str, ...]
    labels: Labels
    class_names: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    other_files: tuple[tuple[str, int], ...] = ()
    augmentation: Literal["crop_flip"] = "crop_flip"

    @property
    def name(self) -> str:
        return str(self.root)

    def source(self, row: int) -> Path:
        """The file of that row. Raises UnreadableImageError if it is a pipe or a device."""
        path = self.root / self.paths[row]
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImageError("not a regular file")
        return path

    def sample_sides(self) -> list[int]:
        """The shorter sides of some training images, from their headers."""
        return sample_sides(self.source, self.splits["train"])

    def open_cache(
        self, root: Path, *, img_size: int, progress: Progress | None = None
    ) -> tuple[DecodedImages, Unreadable]:
        """The decoded images, one row per file; keyed by names, sizes and both times of change: an
        unpacked archive may set that of the pixels, the system's own (ctime) nobody sets."""
        above = os.path.join(self.root, "")  # a Path for each of a million files takes seconds
        files = [[path, *size_and_times(above + path)] for path in self.paths]
        contents = {"source": str(self.root), "files": files}
        return open_cache(root, contents, count=len(files), img_size=img_size), {}


def read_folder(root: str | os.PathLike[str]) -> ImageFolder:
    """Lists a folder of images. Raises DataError if it has no training images of two classes.

    The order of files does not depend on the file system. Half a second for 60,000 files.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "a file" if root.exists() else "missing"
        raise DataError(f"The data folder must be a directory, but {root} is {what}.")
    root = root.resolve()
    folders = _split_folders(root)
    class_names = tuple(sorted(path.name for path in _subfolders(folders["train"])))
    _check_classes(root, folders, class_names)
    paths: list[str] = []
    labels: list[int] = []
    splits: dict[str, NDArray[np.int64]] = {}
    others = Counter[str]()
    for split, folder in folders.items():
        first, present = len(paths), {path.name for path in _subfolders(folder)}
        for label, name in enumerate(class_names):
            found = _image_files(folder / name, others, above=folder) if name in present else ()
            files = sorted(found)
            if not files and split == "train":
                raise DataError(
                    f"Every class folder must hold images, but {folder / name} has none "
                    f"({accepted()}): remove the folder or add images."
                )
            paths += [file[len(str(root)) + 1 :] for file in files]
            labels += [label] * len(files)
        splits[split] = np.arange(first, len(paths))
        if first == len(paths):
            if _has_images(folder):
                raise DataError(
                    f"A split must hold images by class, but {folder} has images but no class "
                    "folders: move it elsewhere, and a fifth of the training images is held out "
                    "instead."
                )
            raise DataError(f"A split must hold images, but {folder} has none ({accepted()}).")
    return ImageFolder(
        root=root,
        paths=tuple(paths),
        labels=np.array(labels, np.int64),
        class_names=class_names,
        splits=splits,
        other_files=tuple(sorted((+others).items(), key=lambda item: (-item[1], item[0]))),
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Split name -> folder of class folders; always "train", maybe "test" and "val"."""
    by_name = {path.name.lower(): path for path in _subfolders(root)}
    found = {
        split: by_name[name] for split, names in SPLIT_NAMES.items() for name in names[::-1]
        if name in by_name
    }  # fmt: skip
    if "train" not in found or not any(_subfolders(found["train"])):
        return {"train": root}  # "train" may be the name of a class
    if "test" not in found and "val" in found:
        return {"train": found["train"], "test": found["val"]}
    return found


def _check_classes(root: Path, folders: dict[str, Path], class_names: tuple[str, ...]) -> None:
    layout = f"{root}/<class>/*.jpg or {root}/train/<class>/*.jpg"
    train = folders["train"]
    if not class_names:
        loose = "images but no class folders" if _has_images(train) else "no images"
        raise DataError(
            f"A data folder must hold images by class ({layout}), but {train} has {loose}."
        )
    if len(class_names) == 1:
        raise DataError(
            f"A data folder must hold at least two classes ({layout}), but {train} has only "
            f"{class_names[0]!r}."
        )
    for split, folder in folders.items():
        unknown = sorted({path.name for path in _subfolders(folder)} - set(class_names))
        if unknown:
            raise DataError(
                f"The classes of the {split} split must be among the training classes, but "
                f"{folder} has {unknown[0]!r}: rename or remove it."
            )


def _subfolders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError as error:
        raise _unreadable_folder(folder, error) from error
    return (folder / name for name in names)


def _unreadable_folder(folder: str | Path, error: OSError) -> DataError:
    return DataError(f"A data folder must be readable, but {folder}: {error.strerror or error}.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() and not entry.name.startswith(".")
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() and not entry.name.startswith(".")
    except OSError:
        return False


def _image_files(folder: Path, others: Counter[str], *, above: Path) -> Iterator[str]:
    """Images below `folder`, links followed, each real directory once and none that holds it.

    Files that are neither images nor by-products are added to `others` by extension.
    """
    above = above.resolve()
    seen = {_identity(parent) for parent in (above, *above.parents)}
    waiting = [str(folder)]
    while waiting:
        directory = waiting.pop()
        try:
            identity = _identity(directory)
            if identity in seen:
                continue
            entries = list(os.scandir(directory))
        except OSError as error:
            raise _unreadable_folder(directory, error) from error
        seen.add(identity)
        for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
            if _is_folder(entry):
                waiting.append(entry.path)
            elif _is_image_name(entry.name):
                yield entry.path
            elif _is_file(entry):
                extension = os.path.splitext(entry.name)[1].lower()
                others[extension] += extension not in BY_PRODUCTS


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _has_images(folder: Path) -> bool:
    return any(_is_image_name(name) for name in os.listdir(folder))


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def accepted() -> str:
    return "images end in " + ", ".join(sorted(EXTENSIONS))
