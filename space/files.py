"""Small files read safely: JSON and TOML of a user's, never larger than they may be."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 1_000_000
MAX_TOML_BYTES = 64_000
MAX_DOTS = 8


def read_small_file(path: str | Path, most: int = MAX_FILE_BYTES) -> str:
    """The text of a file of at most `most` bytes; nothing larger is read. Raises ValueError.

    A byte order mark, which Windows' Notepad writes, is no part of it.
    """
    try:
        refuse_irregular(path)
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise ValueError(f"a file must be at most {most} bytes.")
    return content.decode("utf-8-sig")


def refuse_irregular(path: str | Path) -> None:
    """Raises ValueError for a folder, pipe or device, which may never end; OSError for nothing."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise ValueError(
            "it must be a regular file, but is a folder, a pipe or a device: copy it into a file."
        )


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file of at most 64 kB. Raises ValueError."""
    text = read_small_file(path, MAX_TOML_BYTES)
    if _LONG_KEY.search(_TEXTS.sub("_", text)):
        raise ValueError(f"it is nested too deeply: a key must have at most {MAX_DOTS} dots.")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply.") from None


# tomllib takes time and memory by the square of the length of a dotted key: 14 s and 770 MB for
# 32 kB, which the limit of the file lets through. Only in a key do dots follow one another without
# a comma, an equals sign or the end of a line.
_LONG_KEY = re.compile(rf"(?:\.[^.,=\n]*){{{MAX_DOTS + 1}}}")
_TEXTS = re.compile(  # strings and comments, to the end of the file or of the line if unclosed
    r"""
    \"{3} (?: \\. | [^\\] )*? (?: "{3,5} | \\?\Z )
    | '{3} .*? (?: '{3,5} | \Z )
    | " (?: \\[^\n] | [^"\\\n] )* "?
    | ' [^'\n]* '?
    | \# [^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
