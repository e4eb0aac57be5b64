"""What went wrong with a study or a file of a run, in words that say what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import StorageInternalError

from results.words import hide_password

KEPT = "Nothing finished is lost"


class StorageError(OSError):
    """A run cannot be written; the message says what to do. `interrupted`: the user did not wait
    for it to get better."""

    def __init__(self, message: str, *, interrupted: bool = False) -> None:
        super().__init__(message)
        self.interrupted = interrupted


@contextmanager
def writing(folder: Path, then: str = "resume") -> Iterator[None]:
    """Has a file of a run folder that cannot be written explained as StorageError."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise cannot_write(folder, error, then=then) from error


def cannot_write(
    place: Path, error: BaseException, *, run: Path | None = None, then: str = "resume"
) -> StorageError:
    """What is wrong with the folder `place` and what to do before `vit-frontier THEN RUN`."""
    go_on = f"go on by: vit-frontier {then} {run or place}"
    if not place.is_dir():
        return StorageError(
            f"The folder {str(place)!r} is gone: it was removed, or its disk was taken away. Bring "
            f"it back, then {go_on}"
        )
    reason = reason_of(error)
    if _is_full(error):
        free = shutil.disk_usage(place).free / 1e6
        what = f"The disk of {str(place)!r} is full ({reason}; {free:.1f} MB left)"
        return StorageError(f"{what}. {KEPT}: make room there, then {go_on}")
    return StorageError(
        f"{str(place)!r} cannot be written ({reason}). {KEPT}: make the folder and the files in it "
        f"writable, then {go_on}"
    )


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_FULL"


def cause_of(error: BaseException) -> BaseException:
    """What the database said, under what Optuna made of it."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    return error if cause is None else cause


def reason_of(error: BaseException) -> str:
    """One line of an error, passwords hidden."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return hide_password(text)[:300]
