"""Numbers, units and architectures as people read them; base units stay in the data."""

from __future__ import annotations

import math
from collections.abc import Iterable

from space import Architecture

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MISSING = "–"


def scaled(count: float, unit: str = "") -> str:
    """Three significant digits and an SI prefix: 1253683200 -> "1.25 G" (and the unit)."""
    for size, prefix in _SCALES:
        if count >= 0.9995 * size:
            return f"{_three_digits(count / size)} {prefix}{unit}"
    return f"{_three_digits(count)} {unit}".strip()


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.9621 -> "96.2 %"; a dash for None and NaN."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    return f"{100 * fraction:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """Seconds to "12.3 s", "4 min 05 s", "3 h 07 min"; a dash for None and NaN."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def standard_error(accuracy: float, images: int) -> float:
    """Binomial standard error of an accuracy measured on `images` images."""
    return math.sqrt(max(0.0, accuracy * (1.0 - accuracy)) / images)


def index_ranges(indices: Iterable[int]) -> str:
    """(0, 3, 4, 5) -> "0, 3–5"; a dash for none."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs) or MISSING


def pools_text(architecture: Architecture) -> str:
    """After which blocks something is done to the tokens, and what: "2, 5 max 3/2"; a dash for
    nowhere."""
    by_words: dict[str, list[int]] = {}
    for after, part, _ in architecture.after_blocks():
        by_words.setdefault(part.words(), []).append(after)
    parts = (f"{index_ranges(after)} {words}" for words, after in by_words.items())
    return "; ".join(parts) or MISSING


def shape_text(architecture: Architecture) -> str:
    """All but the blocks: "6 blocks, 64 wide, 4 heads, MLP ×4, patch 2", and what is unusual."""
    a, first = architecture, architecture.stages[0]
    is_conv = a.stem.kind == "conv"
    widths = "-".join(str(dim) for dim in dict.fromkeys(place.shape.dim for place in a.walk()))
    heads = dict.fromkeys(getattr(place.stage.attention, "num_heads", 0) for place in a.walk())
    counts = "-".join(map(str, heads)) if len(heads) > 1 else str(next(iter(heads)))
    text = [counted(a.depth, "block"), f"{widths} wide"]
    if any(heads):
        text.append(f"{counts} head" + ("s" if counts != "1" else ""))
    text += dict.fromkeys(place.stage.mlp.words() for place in a.walk())
    text += dict.fromkeys(place.stage.local.words() for place in a.walk() if place.stage.local)
    text.append(f"patch {getattr(a.stem, 'patch_size', 0)}" if is_conv else a.stem.words())
    extras = ["conv stem"] if is_conv else []
    scaled = any(getattr(place.stage.attention, "scale", False) for place in a.walk())
    extras += ["scaled Re-attention"] if scaled else []
    if first.residual_scale != 1.0:
        extras.append(f"residual scale {first.residual_scale:g}")
    return ", ".join([*text, *extras])


def blocks_text(architecture: Architecture) -> str:
    """The blocks in order: "3 plain on 64 tokens, pool, 3 Re-attention on 31 tokens, avg head"."""
    parts: list[str] = []
    length, places = 0, list(architecture.walk())
    for place, following in zip(places, [*places[1:], None], strict=True):
        length += place.stage.depth
        kind, stage = place.stage.attention.words(), place.stage
        goes_on = following is not None and following.stage.attention.words() == kind
        if not stage.then and goes_on:
            continue
        parts.append(f"{length} {kind} on {counted(place.shape.length, 'token')}")
        parts += [part.kind.rpartition(":")[2] for part in stage.then]
        length = 0
    return ", ".join([*parts, f"{architecture.head} head"])


def counted(number: float, noun: str) -> str:
    """'1 block', '12 blocks', '0.25 GPU'."""
    return f"{number:.10g} {noun}{'s' if number > 1 or not number else ''}"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
