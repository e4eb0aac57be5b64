"""Numbers, units and architectures as people read them; base units stay in the data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from space import Architecture

_SCALES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
MISSING = "–"


def scaled(count: float, unit: str = "") -> str:
    """Three significant digits and an SI prefix: 1253683200 -> "1.25 G" (and the unit)."""
    for size, prefix in _SCALES:
        if count >= 0.9995 * size:
            return f"{_three_digits(count / size)} {prefix}{unit}"
    return f"{_three_digits(count)} {unit}".strip()


def format_count(value: int) -> str:
    """The number as options take it, without a space: 1300000000 -> "1.3G", 33952 -> "33.95K"."""
    for size, prefix in _SCALES:
        if value >= size:
            return f"{value / size:.4g}{prefix.upper()}"
    return str(value)


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
    """After which blocks tokens are pooled, and how: "2, 5 max 3/2"; a dash for nowhere."""
    by_kind: dict[str, list[int]] = {}
    for pool in architecture.pools:
        kind = f"{pool.op} {pool.kernel_size}/{pool.stride}"
        by_kind.setdefault(kind, []).append(pool.after)
    parts = (f"{index_ranges(after)} {kind}" for kind, after in by_kind.items())
    return "; ".join(parts) or MISSING


def shape_text(architecture: Architecture) -> str:
    """All but the blocks: "6 blocks, 64 wide, 4 heads, MLP ×4, patch 2", and what is unusual."""
    a = architecture
    text = (
        f"{counted(a.depth, 'block')}, {a.embed_dim} wide, {counted(a.num_heads, 'head')}, "
        f"MLP ×{a.mlp_ratio:g}, patch {a.patch_size}"
    )
    extras = ["conv stem"] if a.stem == "conv" else []
    extras += ["scaled Re-attention"] if a.reattention_scale else []
    extras += [f"residual scale {a.residual_scale:g}"] if a.residual_scale != 1.0 else []
    return ", ".join([text, *extras])


def blocks_text(architecture: Architecture) -> str:
    """The blocks in order: "3 plain on 64 tokens, pool, 3 Re-attention on 31 tokens, avg head"."""
    mixed, pooled = set(architecture.reattention), {pool.after for pool in architecture.pools}
    parts: list[str] = []
    length = 0
    for block, tokens in enumerate(architecture.token_counts):
        length += 1
        last = block == architecture.depth - 1
        if last or block in pooled or (block in mixed) != (block + 1 in mixed):
            kind = "Re-attention" if block in mixed else "plain"
            parts.append(f"{length} {kind} on {counted(tokens, 'token')}")
            length = 0
        if block in pooled:
            parts.append("pool")
    return ", ".join([*parts, f"{architecture.head} head"])


def counted(number: float, noun: str) -> str:
    """'1 block', '12 blocks', '0.25 GPU'."""
    return f"{number:.10g} {noun}{'s' if number > 1 or not number else ''}"


def hide_password(text: str) -> str:
    """`text` with the password of any URL in it replaced by ***."""
    text = re.sub(r"(?<=://)([^\s:/]*):(\S*|[^@/]*)@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^\s=&]*(?:pass|pwd)[^\s=&]*=)[^\s&]*", r"\1***", text)


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
