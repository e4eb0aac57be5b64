"""Which folders of an image folder are its splits, and which are classes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainers.errors import DataError
from trainers.images.decode import EXTENSIONS

SPLIT_NAMES = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SPLIT_RULE = (
    "split folders are train, val and test, also training, trainval, valid, validation and "
    "testing, with set, data, images or a year (train2017, test_set), or two of them with one more "
    "word (seg_train, seg_test)"
)
MOST_NAMED = 5  # names in one sentence
_ROLES = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_FILLING = r"set|sets|data|dataset|images?|imgs?|folder|split|mini|small|full"
_GLUED = re.compile(rf"({'|'.join(sorted(_ROLES, key=len, reverse=True))})({_FILLING})?")
_FILLER = re.compile(_FILLING)
_PICTURES = {"images", "image", "imgs", "img", "jpegimages"}
_NOTES = {"labels", "label", "annotations", "annotation", "masks", "mask"}
_TABLES = (".csv", ".tsv", ".xlsx", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`splits`: "train", and "val" and "test" if there are such folders, each a folder of class
    folders. `unused`: names of the folders beside them."""

    splits: dict[str, Path]
    unused: tuple[str, ...] = ()


def find_layout(root: Path) -> Layout:
    """The splits of `root`; it is the training split itself if no folder is one. Raises DataError
    on split folders without a training split of class folders, or with two."""
    names = [path.name for path in subfolders(root)]
    named = _named_splits(names)
    folders = {split: [_inner(root / n) for n in found] for split, found in named.items()}
    if any(any(subfolders(folder)) for folder in folders.get("train", ())):
        chosen = {split: _one_of(root, split, found) for split, found in named.items()}
        if "test" not in chosen and "val" in chosen:
            chosen["test"] = chosen.pop("val")
        return Layout(
            splits={s: _inner(root / chosen[s]) for s in SPLIT_NAMES if s in chosen},
            unused=tuple(name for name in names if name not in chosen.values()),
        )
    _refuse_no_training_split(root, names, named)
    return Layout(splits={"train": root})


def _named_splits(names: Iterable[str]) -> dict[str, list[str]]:
    """Split -> names of folders that say so. A word that is no split's must be that of a training
    split and another one: train_station is a class."""
    families: dict[tuple[str, ...], dict[str, list[str]]] = {(): {}}
    for name in names:
        words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
        glued = [_GLUED.fullmatch(word.lower()) for word in words]
        roles = {_ROLES[match[1]] for match in glued if match}
        role = "train" if roles == {"train", "val"} else roles.pop() if len(roles) == 1 else None
        rest = tuple(
            word.lower()
            for word, match in zip(words, glued, strict=True)
            if not match and not _FILLER.fullmatch(word.lower())
        )
        if role is not None:
            families.setdefault(rest, {}).setdefault(role, []).append(name)
    plain = families.pop(())
    whole = (family for family in families.values() if "train" in family and len(family) > 1)
    return plain if "train" in plain else next(whole, plain)


def _one_of(root: Path, split: str, found: list[str]) -> str:
    """The one name of a split: train before training before train2017. Raises DataError on two."""
    plain = SPLIT_NAMES[split]
    ranks = [plain.index(n.lower()) if n.lower() in plain else len(plain) for n in found]
    best = [name for name, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    if len(best) > 1:
        raise DataError(
            f"The {split} split must be one folder, but {root} has {listed(best)}: move all but "
            "one of them elsewhere."
        )
    return best[0]


def _inner(folder: Path) -> Path:
    """The folder of the same name inside, if that is all it holds, as archives are unpacked."""
    inside = list(subfolders(folder))
    if len(inside) == 1 and inside[0].name.lower() == folder.name.lower():
        return inside[0]
    return folder


def _refuse_no_training_split(root: Path, names: list[str], named: dict[str, list[str]]) -> None:
    """Raises DataError if folders are named like splits and none is a training split: they would
    become classes. One such name beside others may be that of a class."""
    found = sorted(name for of_split in named.values() for name in of_split)
    inside = {path.name for name in found for path in subfolders(root / name)}
    alike = bool(found) and _hold_alike([root / name for name in names])
    if alike or len(named) > 1 or (inside and (set(found) == set(names) or inside & set(names))):
        raise DataError(
            f"A folder with splits must have a training split of class folders, but {root} has "
            f"{listed(found)}{'' if 'train' in named else ' and no train'}: name the training "
            f"split train, with a folder for each class ({SPLIT_RULE}).{tables_seen(root)}"
        )


def refuse_other_layouts(root: Path, class_folders: Iterable[Path]) -> None:
    """Raises DataError if the folders that would be classes are those of another layout: images
    beside labels, or splits below classes."""
    folders = list(class_folders)
    lower = {folder.name.lower() for folder in folders}
    if lower & _PICTURES and lower & _NOTES:
        raise DataError(
            f"A data folder must hold images by class, but {folders[0].parent} has "
            f"{listed(folder.name for folder in folders)}, as detection and segmentation have them "
            "(YOLO, COCO, VOC): make a folder for each class and put its images there."
        )
    below = [_named_splits(path.name for path in subfolders(folder)) for folder in folders]
    if len(below) > 1 and all("train" in named and len(named) > 1 for named in below):
        split = below[0]["train"][0]
        raise DataError(
            f"Splits must lie above the classes, but {root} has {folders[0].name}/{split}: move it "
            f"to {split}/{folders[0].name}, and so on."
        )


def alike_folders(class_folders: Iterable[Path]) -> Iterator[str]:
    """A sentence if the classes hold folders of the same names: they may be splits."""
    folders = list(class_folders)
    if inside := _hold_alike(folders):
        yield (
            f"The classes {listed(folder.name for folder in folders)} all hold the folders "
            f"{listed(inside)}: if they are splits, name them so ({SPLIT_RULE})."
        )


def _hold_alike(folders: list[Path]) -> list[str]:
    """Names of the folders inside of each, if all hold the same, two or more."""
    inside = [[path.name for path in subfolders(folder)] for folder in folders]
    same = len(folders) > 1 and len(inside[0]) > 1 and all(names == inside[0] for names in inside)
    return inside[0] if same else []


def tables_seen(folder: Path) -> str:
    """The end of a sentence that names tables in `folder`, which are not read; empty if none is."""
    names = sorted(n for n in os.listdir(folder) if os.path.splitext(n)[1].lower() in _TABLES)
    if not names:
        return ""
    return (
        f" Tables of labels ({listed(names)}) are not read: move the images into a folder for each "
        "class."
    )


def same_name(name: str) -> str:
    """What two spellings of a name have in common that Unicode takes for the same: é may be one
    character or two."""
    return unicodedata.normalize("NFC", name)


def look(name: str) -> str:
    """What names have in common that look nearly alike: case, width, spaces and what is unseen."""
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def listed(names: Iterable[str]) -> str:
    """The first names, quoted so that none can hide a character, and how many more there are."""
    shown = [ascii(n) if look(n) != n.casefold() else repr(n) for n in names]
    more = [f"{len(shown) - MOST_NAMED} more"] if len(shown) > MOST_NAMED else []
    return " and ".join([", ".join(shown[:MOST_NAMED]), *more])


def subfolders(folder: Path) -> Iterator[Path]:
    """The folders in `folder` by name, but hidden ones. Raises DataError if it is unreadable."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if is_folder(entry))
    except OSError as error:
        raise unreadable_folder(folder, error) from error
    return (folder / name for name in names)


def unreadable_folder(folder: str | Path, error: OSError) -> DataError:
    return DataError(f"A data folder must be readable, but {folder}: {error.strerror or error}.")


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether that is a folder that counts: macOS puts __MACOSX into its archives."""
    try:
        return entry.is_dir() and not entry.name.startswith(".") and entry.name != "__MACOSX"
    except OSError:  # a link to itself
        return False


def has_images(folder: Path) -> bool:
    return any(is_image_name(name) for name in os.listdir(folder))


def is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def accepted() -> str:
    return "images end in " + ", ".join(sorted(EXTENSIONS))
