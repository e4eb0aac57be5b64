"""Decoded images on disk: a memory-mapped uint8 array, filled row by row, read by any later run.
Pixels are on disk before their state is, so that a killed decoding goes on where it stopped."""

# A cache is a directory of `images.npy` (N, 3, S, S) uint8, `state.npy` (N,) uint8 (0 not decoded,
# 1 decoded) and `cache.json` (what it holds); no pickle. The array is sparse: rows that nobody
# asked for take no space. Directories are readable by their user alone.

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import DataError
from trainers.images.decode import Pixels, Source, UnreadableImageError, decode_image, may_pass
from trainers.images.stored import Images, StoredImages

IN_MEMORY_AT_MOST = 2**28  # bytes of a split that is copied into memory
VERSION = 2  # of the layout and of the decoding: another number is another cache
_WINDOW = 256  # images decoded between two writes of the state, fewer where they are large
_WINDOW_BYTES = 2**28
_PAUSES = (0.2, 2.0)  # seconds until an image is read again after an error that may pass

Progress = Callable[[int, int], None]
Unreadable = dict[int, str]
"""Row -> reason."""


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """`cache_dir`, else `vit-frontier` in the user's cache directory; made with mode 0700."""
    if cache_dir is not None:
        root = Path(cache_dir).expanduser()
    else:
        home = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
        root = base / "vit-frontier"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _disk_error(root, error) from error
    return root


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """An open cache of `count` square images of side `img_size`."""

    directory: Path
    count: int
    img_size: int

    def missing(self) -> int:
        """How many rows are not decoded."""
        return int((np.load(self.directory / "state.npy", allow_pickle=False) == 0).sum())

    @property
    def image_bytes(self) -> int:
        return 3 * self.img_size**2

    def images(self, rows: NDArray[np.int64]) -> Images:
        """The images of `rows` (n, 3, S, S) in the order asked for: an array in memory up to 256
        MiB, more are left where they are and opened at once."""
        file = self.directory / "images.npy"
        if len(rows) * self.image_bytes > IN_MEMORY_AT_MOST:
            return StoredImages(file, rows)
        return np.ascontiguousarray(np.load(file, mmap_mode="r", allow_pickle=False)[rows])

    def require_room(self, count: int) -> None:
        """Raises DataError if the disk has no room for `count` more decoded images."""
        needed, free = count * self.image_bytes, shutil.disk_usage(self.directory).free
        if needed > free:
            raise DataError(
                f"The image cache must have room for {count:,} decoded images of {self.img_size} "
                f"pixels, {needed:,} bytes, but {self.directory.parent} has {free:,} bytes free: "
                "make room there, set another directory by XDG_CACHE_HOME, or take smaller images "
                "or fewer."
            )

    def decode(
        self,
        rows: NDArray[np.int64],
        source: Callable[[int], Source],
        progress: Progress | None = None,
    ) -> Unreadable:
        """Decodes those of `rows` that are not here yet, in parallel; returns those that cannot be,
        which are tried again next time. Raises DataError where an error that may pass comes three
        times."""
        # `source(row)` gives the image; an OSError or UnreadableImageError of it is a reason too.
        # `progress(done, total)`. 1,400 JPEGs of 32 x 32 or 550 of 500 x 375 a second on one core.

        unreadable: Unreadable = {}
        state = np.load(self.directory / "state.npy", mmap_mode="r", allow_pickle=False)
        missing = np.unique(rows[state[rows] == 0]).tolist()
        if not missing:
            return unreadable
        at_once = max(_cores(), min(_WINDOW, _WINDOW_BYTES // self.image_bytes))
        if len(missing) > at_once:  # else they may all be broken, in a whole cache on a full disk
            self.require_room(len(missing))
        with (
            _OpenArray(self.directory / "images.npy") as images,
            _OpenArray(self.directory / "state.npy") as states,
            ThreadPoolExecutor(_cores()) as pool,  # Pillow decodes outside the GIL
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's, about large images and broken EXIF blocks
            each = max(1, at_once // 32)
            for start in range(0, len(missing), at_once):
                window = missing[start : start + at_once]
                parts = [window[i : i + each] for i in range(0, len(window), each)]
                decoded = [
                    pair for part in pool.map(partial(self._decode, source), parts) for pair in part
                ]
                good = [(row, image) for row, image in decoded if not isinstance(image, str)]
                unreadable |= {row: why for row, why in decoded if isinstance(why, str)}
                for row, image in good:
                    images.write(row, image)
                images.flush()
                for row, _ in good:
                    states.write(row, np.ones((), np.uint8))
                if progress is not None:
                    progress(start + len(window), len(missing))
        return unreadable

    def _decode(
        self, source: Callable[[int], Source], rows: list[int]
    ) -> list[tuple[int, Pixels | str]]:
        decoded: list[tuple[int, Pixels | str]] = []
        for row in rows:
            try:
                decoded.append((row, _read(source, row, self.img_size)))
            except UnreadableImageError as error:
                decoded.append((row, str(error)))
            except OSError as error:
                decoded.append((row, error.strerror or str(error)))
        return decoded


def _read(source: Callable[[int], Source], row: int, img_size: int) -> Pixels:
    pauses = iter(_PAUSES)
    while True:
        image: Source | None = None
        try:
            image = source(row)
            return decode_image(image, img_size)
        except (OSError, MemoryError) as error:
            if not may_pass(error):
                raise
            if (pause := next(pauses, None)) is None:
                named = isinstance(image, str | os.PathLike)
                name = image if named else getattr(error, "filename", None) or f"image {row}"
                raise not_read(name, error) from error
        time.sleep(pause)


def not_read(name: object, error: OSError | MemoryError) -> DataError:
    """What to do about an image that may be whole, but that could not be read."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        return DataError(
            f"There must be memory to read every image, but {name}: {reason}. End what else takes "
            "memory, take smaller images or remove this one, and run the command again: what is "
            "decoded is kept."
        )
    return DataError(
        f"Every image must be readable, but {name}: {reason}. See that the disk answers and run "
        "the command again: what is decoded is kept; or remove the file."
    )


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


def is_decoded(splits: list[StoredImages]) -> bool:
    """Whether this machine has the files that these are stored in, with all their rows decoded."""
    for images in splits:
        assert isinstance(images.stored, Path)
        try:
            state = np.load(images.stored.with_name("state.npy"), allow_pickle=False)
            whole = len(images.pixels) == len(state)
        except (OSError, ValueError, EOFError):  # not there, or damaged
            return False
        if not whole or not state[images.rows].all():
            return False
    return True


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
        with _one_at_a_time(root):
            whole = _is_whole(directory, count=count, img_size=img_size)
            for found in root.glob(f"images-{source}-{img_size}-*"):
                if not (whole if found == directory else _is_in_use(found)):
                    shutil.rmtree(found, ignore_errors=True)
            if not whole:
                _create(directory, described, count=count, img_size=img_size)
            _hold(directory)
    except OSError as error:
        raise _disk_error(root, error) from error
    return DecodedImages(directory=directory, count=count, img_size=img_size)


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Else one process might remove what another has just made and decodes into."""
    import fcntl

    folder = os.open(root, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


_held: dict[Path, int] = {}
"""Caches that this process opened -> open `cache.json`, locked for as long as the process lives:
its workers may open the images at any time."""


def _hold(directory: Path) -> None:
    import fcntl

    file = os.open(directory / "cache.json", os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_SH)
    earlier, _held[directory] = _held.get(directory), file
    if earlier is not None:  # the same file, or that of a damaged cache
        os.close(earlier)


def _is_in_use(directory: Path) -> bool:
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


class _OpenArray:
    """Rows of a .npy file written in place. Not through a memory map, where a full disk kills."""

    def __init__(self, path: Path) -> None:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        assert isinstance(array, np.memmap)
        self._path, self._offset, self._row_bytes = path, array.offset, array[0].nbytes
        self._file: int | None = None

    def __enter__(self) -> _OpenArray:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def write(self, row: int, values: Pixels) -> None:
        data, place = values.tobytes(), self._offset + row * self._row_bytes
        assert len(data) == self._row_bytes
        try:
            if self._file is None:  # not before: the disk may be read-only and nothing be written
                self._file = os.open(self._path, os.O_RDWR)
            while data:
                written = os.pwrite(self._file, data, place)
                data, place = data[written:], place + written
        except OSError as error:
            raise _disk_error(self._path, error) from error

    def flush(self) -> None:
        if self._file is None:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise _disk_error(self._path, error) from error


def _cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _disk_error(path: Path, error: OSError) -> DataError:
    return DataError(
        f"The image cache must be writable, but {path}: {error.strerror or error}. "
        "Make room there, or set another directory by XDG_CACHE_HOME or `cache_dir`."
    )
