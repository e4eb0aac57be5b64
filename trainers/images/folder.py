"""Image folders: which files are which class and split, and their pixels through the cache."""

# Layouts, `*` at any depth below a class, extensions in any case; the names that splits may have
# are in `trainers.images.layout`:
# * `train/<class>/*` with `test/<class>/*` or `val/<class>/*`: the second is the test split.
# * `train`, `val` and `test`: `val` is the search-validation split as it is.
# * `train/<class>/*` alone, or `<class>/*`: a fifth of every class becomes the test split.
# Names of classes that Unicode takes for the same are one class, spelled as in the training split.

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainers.errors import DataError
from trainers.images.cache import open_cache, size_and_times
from trainers.images.decode import UnreadableImageError, sample_sides
from trainers.images.decoded import DecodedImages, Progress, Unreadable
from trainers.images.layout import (
    Layout,
    accepted,
    alike_folders,
    find_layout,
    has_images,
    is_folder,
    is_image_name,
    listed,
    look,
    refuse_other_layouts,
    same_name,
    subfolders,
    tables_seen,
    unreadable_folder,
)
from trainers.images.splits import Labels

BY_PRODUCTS = tuple(".txt .csv .json .xml .md .py .db .ini".split())  # notes, Thumbs.db


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """The files of a folder: `paths` relative to `root`, sorted, with their `labels`. `splits` maps
    "train", and "val" and "test" if it has them, to rows of `paths`. `other_files`: the other
    extensions, most frequent first. `remarks`: sentences on how the folder was read."""

    root: Path
    paths: tuple[str, ...]
    labels: Labels
    class_names: tuple[str, ...]
    splits: dict[str, NDArray[np.int64]]
    other_files: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()
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
    layout = find_layout(root)
    folders = {split: _class_folders(folder) for split, folder in layout.splits.items()}
    spellings = {key: paths[0].name for key, paths in folders["train"].items()}
    class_names = tuple(sorted(spellings.values()))
    refuse_other_layouts(root, [path for paths in folders["train"].values() for path in paths])
    _check_classes(root, layout, folders, class_names)
    paths: list[str] = []
    labels: list[int] = []
    splits: dict[str, NDArray[np.int64]] = {}
    others = Counter[str]()
    for split, folder in layout.splits.items():
        first = len(paths)
        for label, name in enumerate(class_names):
            there = folders[split].get(same_name(name), [])
            found = (_image_files(path, others, above=folder) for path in there)
            files = sorted(chain.from_iterable(found))
            if not files and split == "train":
                raise DataError(
                    f"Every class folder must hold images, but {folder / name} has none "
                    f"({accepted()}): remove the folder or add images."
                )
            paths += [file[len(str(root)) + 1 :] for file in files]
            labels += [label] * len(files)
        splits[split] = np.arange(first, len(paths))
        _refuse_empty_split(folder, len(splits[split]))
    known = np.array(labels, np.int64)
    return ImageFolder(
        root=root,
        paths=tuple(paths),
        labels=known,
        class_names=class_names,
        splits=splits,
        other_files=tuple(sorted((+others).items(), key=lambda item: (-item[1], item[0]))),
        remarks=(
            *_what_was_read(root, layout),
            *_lacking(class_names, {split: known[rows] for split, rows in splits.items()}),
            *_twins(folders["train"]),
            *(
                alike_folders(p for ps in folders["train"].values() for p in ps)
                if layout.splits["train"] == root
                else ()
            ),
        ),
    )


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    """Class, in the spelling that Unicode prefers, -> its folders: more than one if names differ in
    spelling alone."""
    found: dict[str, list[Path]] = {}
    for path in subfolders(folder):
        found.setdefault(same_name(path.name), []).append(path)
    return found


def _refuse_empty_split(folder: Path, images: int) -> None:
    if images:
        return
    if has_images(folder):
        raise DataError(
            f"A split must hold images by class, but {folder} has images but no class folders: "
            "move it elsewhere, and a fifth of the training images is held out instead."
        )
    raise DataError(f"A split must hold images, but {folder} has none ({accepted()}).")


def _what_was_read(root: Path, layout: Layout) -> Iterator[str]:
    """Which folder became which split, and which is none."""
    splits = {split: f"{path.relative_to(root)}/" for split, path in layout.splits.items()}
    if layout.splits["train"] == root:
        yield "No folder is a split, so a fifth of every class is held out as the test split."
        return
    parts = [f"{splits['train']} is the training split"]
    parts += [f"{splits['val']} the validation split"] if "val" in splits else []
    parts += [f"{splits['test']} the test split"] if "test" in splits else []
    if "test" not in splits:
        parts.append("a fifth of every class of it is held out as the test split")
    if "val" not in splits:
        parts.append("a fifth of the training images validates")
    yield f"Splits: {', '.join(parts)}."
    if layout.unused:
        yield f"Not used: the folders {listed(layout.unused)} beside {splits['train']}."


def _lacking(class_names: tuple[str, ...], labels: dict[str, Labels]) -> Iterator[str]:
    """The classes that a split has no image of, whose accuracy it cannot tell."""
    for split, there in labels.items():
        counts = np.bincount(there, minlength=len(class_names))
        missing = [class_names[label] for label in np.flatnonzero(counts == 0)]
        if missing:
            yield (
                f"The {split} split has no image of {len(missing)} of {len(class_names)} classes: "
                f"{listed(missing)}."
            )


def _twins(folders: dict[str, list[Path]]) -> Iterator[str]:
    """Names of training classes that look alike."""
    for key, paths in folders.items():
        if len(paths) > 1:
            yield f"The {len(paths)} Unicode spellings of {key!r} are one class."
    alike: dict[str, list[str]] = {}
    for key in folders:
        alike.setdefault(look(key), []).append(key)
    for names in alike.values():
        if len(names) > 1:
            yield f"The names {listed(names)} look alike, but are {len(names)} classes."


def _check_classes(
    root: Path,
    layout: Layout,
    folders: dict[str, dict[str, list[Path]]],
    class_names: tuple[str, ...],
) -> None:
    places = f"{root}/<class>/*.jpg or {root}/train/<class>/*.jpg"
    train = layout.splits["train"]
    if not class_names:
        loose = "images but no class folders" if has_images(train) else "no images"
        raise DataError(
            f"A data folder must hold images by class ({places}), but {train} has {loose}."
            f"{tables_seen(root)}"
        )
    if len(class_names) == 1:
        raise DataError(
            f"A data folder must hold at least two classes ({places}), but {train} has only "
            f"{class_names[0]!r}.{_splits_inside(train / class_names[0])}{tables_seen(root)}"
        )
    by_look = {look(name): name for name in class_names}
    for split, found in folders.items():
        unknown = next(
            (paths[0] for key, paths in found.items() if key not in folders["train"]), None
        )
        if unknown is not None:
            twin = by_look.get(look(unknown.name))
            near = f", not {twin!a}" if twin else ""
            raise DataError(
                f"The classes of the {split} split must be among the training classes, but "
                f"{unknown.parent} has {listed([unknown.name])}{near}: rename or remove it."
            )


def _splits_inside(folder: Path) -> str:
    """What to give instead, if that folder holds the splits."""
    if "train" not in find_layout(folder).splits or find_layout(folder).splits["train"] == folder:
        return ""
    return f" It holds splits: give {folder}."


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
            raise unreadable_folder(directory, error) from error
        seen.add(identity)
        for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
            if is_folder(entry):
                waiting.append(entry.path)
            elif is_image_name(entry.name):
                yield entry.path
            elif _is_file(entry):
                extension = os.path.splitext(entry.name)[1].lower()
                others[extension] += extension not in BY_PRODUCTS


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
