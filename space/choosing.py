"""A list of choices in a space file, checked."""

from __future__ import annotations

from functools import cache
from typing import Any

from space.rules import Rule, show

MAX_CHOICES = 1024
PER_BLOCK = ("num_heads", "mlp_ratio")  # what each block may have for itself


def checked_choices(name: str, choices: Any, rule: Rule) -> tuple[Any, ...]:
    """The choices as a tuple without repetition, sorted if they are numbers. Raises ValueError."""
    if isinstance(choices, (str, int, float)):
        choices = [choices]  # one choice needs no brackets
    if not isinstance(choices, (list, tuple)):
        raise ValueError(f"`{name}` must be a list of choices, but got {show(choices)}.")
    if not choices:
        raise ValueError(f"`{name}` must have at least one choice, but the list is empty.")
    if len(choices) > MAX_CHOICES:
        raise ValueError(f"`{name}` must have at most {MAX_CHOICES} choices, not {len(choices)}.")
    for choice in choices:
        rule.check(name, choice)
    distinct = tuple(dict.fromkeys(choices))
    return distinct if rule.names else tuple(sorted(distinct))


@cache
def kept_blocks(rule: str, depth: int, donor_depth: int) -> tuple[int, ...]:
    """Which `depth` of a donor's blocks stay: the `first`, or some spread `evenly` from its first
    block to its last."""
    if rule == "first" or depth == 1:
        return tuple(range(depth))
    # Rounded half up in integers: neighbours stay apart, since the step is at least 1.
    last, gaps = donor_depth - 1, depth - 1
    return tuple((2 * i * last + gaps) // (2 * gaps) for i in range(depth))
