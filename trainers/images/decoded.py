"""The images of an open cache: decoded in parallel, written row by row, read by any later run.

Pixels are on disk before the state that says so, and a killed decoding goes on where it stopped.
Which cache it is, and how an empty one is made, is in `trainers.images.cache`.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_chain, wait_fixed

from trainers.errors import DataError
from trainers.images.decode import Pixels, Source, UnreadableImageError, decode_image, may_pass
from trainers.images.stored import Images, StoredImages
from trainers.machine import cores

IN_MEMORY_AT_MOST = 2**28  # bytes of a split that is copied into memory
READ_AGAIN = Retrying(  # an image, after an error that may pass
    retry=retry_if_exception(may_pass),
    wait=wait_chain(wait_fixed(0.2), wait_fixed(2.0)),
    stop=stop_after_attempt(3),
    reraise=True,
)
_WINDOW = 256  # images decoded between two writes of the state, fewer where they are large
_WINDOW_BYTES = 2**28

Progress = Callable[[int, int], None]
Unreadable = dict[int, str]
"""Row -> reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """An open cache of `count` square images of side `img_size`."""

    directory: Path
    count: int
    img_size: int

    def missing(self) -> int:
        """How many rows are not decoded."""
        return int((_opened(self.directory / "state.npy") == 0).sum())

    @property
    def image_bytes(self) -> int:
        return 3 * self.img_size**2

    def images(self, rows: NDArray[np.int64]) -> Images:
        """The images of `rows` (n, 3, S, S) in the order asked for: an array in memory up to 256
        MiB, more are left where they are and opened at once."""
        file = self.directory / "images.npy"
        if len(rows) * self.image_bytes > IN_MEMORY_AT_MOST:
            return StoredImages(file, rows)
        return np.ascontiguousarray(_opened(file)[rows])

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
        """Decodes those of `rows` that are not here yet, in parallel; `progress(done, total)`.

        `source(row)` gives the image; an OSError or UnreadableImageError of it is a reason too.
        After an error that may pass the image is read again, twice, and if that fails too a
        DataError ends the decoding. Returns the rows that cannot be decoded; they are tried again
        the next time. Decodes 1,400 JPEGs of 32 x 32 or 550 of 500 x 375 a second on one core, all
        included.
        """

        unreadable: Unreadable = {}
        state = _opened(self.directory / "state.npy")
        missing = np.unique(rows[state[rows] == 0]).tolist()
        if not missing:
            return unreadable
        at_once = max(cores(), min(_WINDOW, _WINDOW_BYTES // self.image_bytes))
        if len(missing) > at_once:  # else they may all be broken, in a whole cache on a full disk
            self.require_room(len(missing))
        with (
            _OpenArray(self.directory / "images.npy") as images,
            _OpenArray(self.directory / "state.npy") as states,
            ThreadPoolExecutor(cores()) as pool,  # Pillow decodes outside the GIL
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
    image: Source | None = None

    def read() -> Pixels:
        nonlocal image
        image = None
        image = source(row)
        return decode_image(image, img_size)

    try:
        return READ_AGAIN(read)
    except (OSError, MemoryError) as error:
        if not may_pass(error):
            raise
        named = isinstance(image, str | os.PathLike)
        name = image if named else getattr(error, "filename", None) or f"image {row}"
        raise not_read(name, error) from error


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


class _OpenArray:
    """Rows of a .npy file written in place. Not through a memory map, where a full disk kills."""

    def __init__(self, path: Path) -> None:
        array = _opened(path)
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
            raise disk_error(self._path, error) from error

    def flush(self) -> None:
        if self._file is None:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise disk_error(self._path, error) from error


def _opened(path: Path) -> NDArray[np.uint8]:
    """The array of a file of the cache, mapped. Raises DataError if the disk does not answer."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> DataError:
    return DataError(
        f"The image cache must be writable, but {path}: {error.strerror or error}. "
        "Make room there, or set another directory by XDG_CACHE_HOME or `cache_dir`."
    )
