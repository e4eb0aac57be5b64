"""`StoredImages`: some rows of an array of images that stays where it is, read when asked for."""

from __future__ import annotations

import contextlib
import mmap
import socket
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainers.errors import DataError
from trainers.images.decode import Pixels

_DENSE = 4  # of so many images in a row one is wanted: all are read in one piece


class StoredImages:
    """Images `rows` of `stored`, a .npy file (N, C, S, S) uint8 or such an array; indexed, an array
    in memory. Of a file only the path is pickled: another process opens it itself."""

    # Opens in no time and takes no memory but for the rows.

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, stored: Path | Pixels, rows: NDArray[np.int64]) -> None:
        self.stored, self.rows = stored, rows

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredImages, (self.stored, self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.pixels.shape[1:])

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Pixels:
        wanted = self.rows[index]
        self._announce(np.atleast_1d(wanted))
        return self.pixels[wanted]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    @cached_property
    def pixels(self) -> Pixels:
        """All images that are stored, these and others. Raises DataError if the file is gone."""
        if not isinstance(self.stored, Path):
            return self.stored
        try:
            mapped = np.load(self.stored, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise DataError(
                f"The decoded images must be on every machine that trains, but {self.stored} is "
                f"not on {socket.gethostname()}: {error.strerror}. Resume the run, which decodes "
                "what is missing, or set XDG_CACHE_HOME to a folder that all machines share."
            ) from None
        self._map = mapped.base
        with contextlib.suppress(AttributeError, OSError):  # where the system has none
            self._map.madvise(mmap.MADV_RANDOM)  # else 128 KB are read for an image of 12
        return np.asarray(mapped)

    def read(self, index: NDArray[np.int64], out: Pixels) -> None:
        """Images `index` of these into `out` (n, C, S, S). May be called in several threads."""
        wanted = self.rows[index]
        self._announce(wanted)
        np.take(self.pixels, wanted, axis=0, out=out, mode="clip")

    def _announce(self, wanted: NDArray[np.int64]) -> None:
        """Has the system read them from disk side by side, not one after another."""
        pixels = self.pixels
        if not isinstance(self.stored, Path) or not hasattr(self._map, "madvise"):
            return
        size = pixels[0].nbytes
        start = len(self._map) - pixels.nbytes
        spans = [(row, row + 1) for row in wanted.tolist()]
        first, last = int(wanted.min(initial=len(pixels))), int(wanted.max(initial=-1))
        if last - first < _DENSE * len(wanted):
            spans = [(first, last + 1)]
        for begin, end in spans:
            place = (start + begin * size) // mmap.PAGESIZE * mmap.PAGESIZE
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_WILLNEED, place, start + end * size - place)


Images: TypeAlias = Pixels | StoredImages
"""A split: an array in memory, or what is read from where it is stored."""
