"""The keys of a search space file, and the limits of each choice."""

from __future__ import annotations

from typing import Any, get_args

from space.architecture import Head, PoolOp, Stem
from space.rules import LIMITS, did_you_mean, show

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
