"""The caches of decoded images that lie on disk: of which data, how large, how old; removal."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.images.cache import is_in_use, one_at_a_time


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImages:
    """One cache. `source`: the folder or name that its images come from; `on_disk`: bytes that it
    takes; `age`: seconds since an image was last decoded; `in_use`: by a living process."""

    directory: Path
    source: str
    img_size: int
    count: int
    decoded: int
    on_disk: int
    age: float
    in_use: bool


def kept_images(root: Path) -> list[KeptImages]:
    """The caches below `root`, the largest first; of a damaged one its size alone is known."""
    found = (_look(directory) for directory in root.glob("images-*") if directory.is_dir())
    return sorted(found, key=lambda kept: (-kept.on_disk, kept.directory.name))


def clear(root: Path, caches: Iterable[KeptImages]) -> list[KeptImages]:
    """Removes these caches but those in use by now, which also `kept_images` tells; those that are
    gone."""
    gone = []
    with one_at_a_time(root):  # nobody opens one meanwhile
        for kept in caches:
            if not is_in_use(kept.directory):
                shutil.rmtree(kept.directory, ignore_errors=True)
                gone += [] if kept.directory.exists() else [kept]
    return gone


def kept_logits(root: Path) -> list[Path]:
    """The files of teachers' logits below `root`; each is made again where it is wanted."""
    return sorted(root.glob("logits-*.npy"))


def _look(directory: Path) -> KeptImages:
    try:
        told = json.loads((directory / "cache.json").read_text(encoding="utf-8"))
        source, size, count = str(told["source"]), int(told["img_size"]), int(told["count"])
        state = np.load(directory / "state.npy", mmap_mode="r", allow_pickle=False)
        decoded = int(np.count_nonzero(state))
    except (OSError, ValueError, KeyError, TypeError):
        source, size, count, decoded = "damaged", 0, 0, 0
    files = [file.stat() for file in _files(directory)]
    newest = max((file.st_mtime for file in files), default=time.time())
    return KeptImages(
        directory=directory,
        source=source,
        img_size=size,
        count=count,
        decoded=decoded,
        on_disk=sum(512 * file.st_blocks for file in files),  # the arrays are sparse
        age=max(0.0, time.time() - newest),
        in_use=is_in_use(directory),
    )


def _files(directory: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(directory) if entry.is_file()]
