"""A file is replaced as a whole or not at all: no reader sees half of one."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: str | bytes | memoryview, *, mode: int | None = None) -> Path:
    """Writes the file as a whole or not at all; its path. A text is written as UTF-8, with ? for
    what that cannot hold. Raises OSError, and then leaves no other file."""
    # `mode`: permissions of the file, where they must not be those of any file.
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if mode is not None:
            temporary.touch(mode=mode)  # before anything is in it
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
