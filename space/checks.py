"""The keys of a search space file, and the limits of each choice."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Any, get_args

from space.architecture import LIMITS, Head, PoolOp, Stem, did_you_mean, show

MAX_FILE_BYTES = 1_000_000
MAX_TOML_BYTES = 64_000
MAX_DOTS = 8
MAX_CHOICES = 1024
PLACEMENTS = ("none", "all", "suffix", "free")
REQUIRED = ("img_size", "patch_size", "embed_dim", "depth")
PLAIN_GENES = tuple(
    """img_size patch_size stem embed_dim depth head_dim num_heads mlp_ratio head
    residual_scale""".split()
)
PLAIN_FIELDS = ("name", "in_chans", "num_classes", *PLAIN_GENES)
TABLES = {
    "reattention": {"placement": "reattention", "scale": "reattention_scale"},
    "pooling": {
        "stages": "pool_stages",
        "after": "pool_after",
        "kernel_size": "pool_kernel_size",
        "stride": "pool_stride",
        "op": "pool_op",
    },
}
_STRINGS: dict[str, tuple[str, ...]] = {
    "head": get_args(Head),
    "stem": get_args(Stem),
    "reattention": PLACEMENTS,
    "pool_op": get_args(PoolOp),
}
_NUMBERS = {"mlp_ratio": 64.0, "residual_scale": 1e6}
_RANGES = {
    **{name: (1, limit) for name, limit in LIMITS.items()},
    "head_dim": (1, LIMITS["embed_dim"]),
    "pool_stages": (0, LIMITS["depth"]),
    "pool_after": (0, LIMITS["depth"] - 1),
    "pool_kernel_size": (1, 65536),
    "pool_stride": (1, 65536),
}
_TOML_NAMES = {
    field: f"{table}.{key}" for table, fields in TABLES.items() for key, field in fields.items()
}


def checked_choices(field: str, choices: Any) -> tuple[Any, ...]:
    """The choices as a tuple without repetition, sorted if they are numbers."""
    name = _TOML_NAMES.get(field, field)
    if isinstance(choices, (str, int, float)):
        choices = [choices]  # one choice needs no brackets
    if not isinstance(choices, (list, tuple)):
        raise ValueError(f"`{name}` must be a list of choices, but got {show(choices)}.")
    if not choices:
        raise ValueError(f"`{name}` must have at least one choice, but the list is empty.")
    if len(choices) > MAX_CHOICES:
        raise ValueError(f"`{name}` must have at most {MAX_CHOICES} choices, not {len(choices)}.")
    for choice in choices:
        if field in _STRINGS:
            known = _STRINGS[field]
            if not isinstance(choice, str) or choice not in known:
                hint = did_you_mean(choice, known)
                raise ValueError(f"Unknown `{name}` {show(choice)}{hint}")
        elif field == "reattention_scale":
            if not isinstance(choice, bool):
                raise ValueError(f"`{name}` must be true or false, but got {show(choice)}.")
        elif field in _NUMBERS:
            high = _NUMBERS[field]
            if type(choice) not in (int, float) or not 0 < choice <= high:
                raise ValueError(
                    f"`{name}` must be a number above 0 and at most {high:g}, but got "
                    f"{show(choice)}."
                )
        else:
            check_range(name, choice, *_RANGES[field])
    distinct = tuple(dict.fromkeys(choices))
    return distinct if field in _STRINGS else tuple(sorted(distinct))


def check_range(name: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(
            f"`{name}` must be an integer from {low} to {high}, but got {show(value)}."
        )


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


# tomllib takes time and memory by the square of the length of a dotted key. Only in a key do dots
# follow one another without a comma, an equals sign or the end of a line.
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
