"""Options as people write them, "2M", "15m", "auto", read into base units."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from search.settings import MAX_WORKERS, MOST_FLOPS
from space import NAMED, Architecture, count_flops, count_params
from space.rules import did_you_mean

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*"


def parse_budget(text: str) -> int:
    """FLOPs (multiply-accumulates) of `1.3G`, `300M`, `2500000`, or of a named architecture."""
    return _parse_count(text, "--budget", "FLOPs", count_flops)


def parse_max_params(text: str) -> int:
    """Parameters of `5M`, `300K`, `2500000`, or of a named architecture."""
    return _parse_count(text, "--max-params", "parameters", count_params)


def _parse_count(text: str, option: str, unit: str, of: Callable[[Architecture], int]) -> int:
    text = re.sub(r"(?<=\d),(?=\d{3}(?:,|$))", "", text)  # 1,300,000
    match = re.fullmatch(_NUMBER + r"([KMGT]?)(?:FLOPS?|MACS?)?\s*", text, re.IGNORECASE | re.ASCII)
    if match is None:
        if text in NAMED:
            return of(NAMED[text])
        raise ValueError(
            f"`{option}` must be {unit} such as 2M, 1.3G or 2500000, or the name of an "
            f"architecture, but got {text!r:.60}{did_you_mean(text, NAMED)}"
        )
    value = float(match[1]) * _UNITS[match[2].upper()]
    if not 1 <= value <= MOST_FLOPS:
        raise ValueError(
            f"`{option}` must be at least 1 and at most 1e21 {unit}, but got {text!r:.60}."
        )
    return round(value)


def parse_seconds(text: str, option: str = "--time-limit") -> float:
    """Seconds of `90`, `90s`, `15m`, `2h` or `1d`."""
    match = re.fullmatch(_NUMBER + r"([smhd]?)\s*", text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise ValueError(f"`{option}` must be a time such as 90s, 15m or 2h, but got {text!r}.")
    return float(match[1]) * _SECONDS[match[2]]


def parse_workers(text: str) -> int | None:
    """How many trials at a time: a number, or None for auto."""
    if text == "auto":
        return None
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= count <= MAX_WORKERS:
        raise ValueError(
            f"`--workers` must be auto or an integer from 1 to {MAX_WORKERS}, but got "
            f"{text!r:.60}: choose one of these."
        )
    return count


_READERS: dict[str, Callable[[str], Any]] = {
    "budget": parse_budget,
    "max_params": parse_max_params,
    "time_limit": parse_seconds,
    "silence": lambda text: parse_seconds(text, "--silence"),
    "workers": parse_workers,
}


def read_texts(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options with a unit or a word, those that are texts, read. Raises ValueError."""
    texts = {name: options[name] for name in _READERS if isinstance(options.get(name), str)}
    return {name: _READERS[name](text) for name, text in texts.items()}


def require_utf8(option: str, text: Any) -> None:
    """Raises ValueError on a name that no file can be written with."""
    try:
        str(text or "").encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{option}` must be a name in UTF-8, but got {text!r}.") from None
