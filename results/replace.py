"""A file is replaced as a whole or not at all: no reader sees half of one, nor does a later start
of a machine whose power was cut."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # a folder, on some file systems


def replace_file(path: Path, content: str | bytes | memoryview, *, mode: int | None = None) -> Path:
    """Writes the file as a whole or not at all; its path. It is on disk when the call returns. A
    text is written as UTF-8, with ? for what that cannot hold. Raises OSError, and then leaves no
    other file."""
    # `mode`: permissions of the file, where they must not be those of any file.
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if mode is not None:
            temporary.touch(mode=mode)  # before anything is in it
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is told
            temporary.unlink()
    return path


def make_folder(folder: Path) -> None:
    """Makes a folder, with those above it, so that they are on disk. Raises OSError."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in made:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Has the names of a folder's files on disk, where its file system can do that. Raises
    OSError."""
    try:
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
