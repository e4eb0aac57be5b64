"""The cache of decoded images on disk: its key, its files, and who uses them."""

# A cache is a directory of `images.npy` (N, 3, S, S) uint8, `state.npy` (N,) uint8 (0 not decoded,
# 1 decoded) and `cache.json` (what it holds); no pickle. The array is sparse: rows that nobody
# asked for take no space. Directories are readable by their user alone.

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from trainers.images.decode import may_pass
from trainers.images.decoded import DecodedImages, disk_error, not_read

VERSION = 2  # of the layout and of the decoding: another number is another cache


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """`cache_dir`, else `vit-frontier` in the user's cache directory; made with mode 0700."""
    given = None if cache_dir is None else Path(cache_dir).expanduser()
    root = given or user_cache_path("vit-frontier")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(root, error) from error
    return root


def size_and_times(path: str) -> tuple[int, int, int]:
    """Bytes and both times of change (ns) of an image, by which a cache knows its pixels; -1 where
    nothing can be read. Raises DataError if the disk does not answer."""
    try:
        status = os.stat(path)
    except OSError as error:
        if may_pass(error):  # else the cache of all images would be out of date
            raise not_read(path, error) from error
        return -1, -1, -1  # a broken link: unreadable, and the cache changes once it can be read
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_cache(root: Path, contents: dict[str, Any], *, count: int, img_size: int) -> DecodedImages:
    """The cache of `contents`, made empty if it is not there or a file of it is damaged. `contents`
    is plain JSON that says all that the pixels depend on; its digest names the directory."""
    # `contents["source"]` says where the images come from: a cache of the same source and size with
    # other contents is out of date and is removed, unless a process that opened it lives.
    described = {"version": VERSION, "count": count, "img_size": img_size, **contents}
    origin = str(contents["source"]).encode("utf-8", "surrogateescape")  # a path need not be UTF-8
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
    source = hashlib.sha256(origin).hexdigest()[:16]
    directory = root / f"images-{source}-{img_size}-{digest}"
    try:
        with one_at_a_time(root):
            whole = _is_whole(directory, count=count, img_size=img_size)
            for found in root.glob(f"images-{source}-{img_size}-*"):
                if not (whole if found == directory else is_in_use(found)):
                    shutil.rmtree(found, ignore_errors=True)
            if not whole:
                _create(directory, described, count=count, img_size=img_size)
            _hold(directory)
    except OSError as error:
        raise disk_error(root, error) from error
    return DecodedImages(directory=directory, count=count, img_size=img_size)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Else one process might remove what another has just made and decodes into."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # read-only, or a file system without locks
            held.enter_context(FileLock(root / ".lock", fallback_to_soft=False))
        yield


_held: dict[Path, int] = {}
"""Caches that this process opened -> open `cache.json`, locked for as long as the process lives:
its workers may open the images at any time. Many hold one cache: `filelock` has no such lock
without a database of its own, which a read-only folder cannot hold."""


def _hold(directory: Path) -> None:
    import fcntl

    file = os.open(directory / "cache.json", os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_SH)
    earlier, _held[directory] = _held.get(directory), file
    if earlier is not None:  # the same file, or that of a damaged cache
        os.close(earlier)


def is_in_use(directory: Path) -> bool:
    """Whether a process, maybe this one, holds that cache."""
    import fcntl

    try:
        file = os.open(directory / "cache.json", os.O_RDWR)  # NFS locks only what may be written
    except OSError:  # damaged
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False


def _is_whole(directory: Path, *, count: int, img_size: int) -> bool:
    return (
        (directory / "cache.json").is_file()
        and _is_array(directory / "images.npy", (count, 3, img_size, img_size))
        and _is_array(directory / "state.npy", (count,))
    )


def _create(directory: Path, described: dict[str, Any], *, count: int, img_size: int) -> None:
    """Made under another name and renamed: a cache is whole or not there."""
    making = Path(tempfile.mkdtemp(prefix="making-", dir=directory.parent))  # permissions 0700
    try:
        _empty_array(making / "images.npy", (count, 3, img_size, img_size))
        _empty_array(making / "state.npy", (count,))
        summary = {key: value for key, value in described.items() if key != "files"}
        (making / "cache.json").write_text(json.dumps(summary, indent=1) + "\n")
        try:
            making.rename(directory)
        except OSError:
            if not _is_whole(directory, count=count, img_size=img_size):  # else another was first
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _is_array(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether that is an array as `_empty_array` makes it, by its header and size alone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head, size = io.BytesIO(file.read(4096)), os.fstat(file.fileno()).st_size
    try:
        version = np.lib.format.read_magic(head)
        header = np.lib.format.read_array_header_1_0(head)
    except Exception:  # NumPy raises nearly anything on broken bytes
        return False
    expected = (shape, False, np.dtype(np.uint8))
    return (version, header, size) == ((1, 0), expected, head.tell() + math.prod(shape))


def _empty_array(path: Path, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + math.prod(shape))
