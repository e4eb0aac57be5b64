"""A small drawing of an architecture as inline SVG: one bar a block, as tall as it has tokens.

Re-attention blocks have another colour and an R below; pools are wedges between the blocks.
"""

from __future__ import annotations

from markupsafe import Markup

from results.words import blocks_text, index_ranges, pools_text
from space import Architecture

_TOP, _TALL, _BOTTOM = 20.0, 56.0, 22.0  # row of token counts, tallest bar, row of the R marks
_END = 46.0  # width of stem and head
_BAR, _GAP, _WEDGE = 24.0, 4.0, 16.0


def block_drawing(architecture: Architecture) -> Markup:
    """The drawing; every text in it is a number or a name that `Architecture` has checked."""
    a = architecture
    tokens = (*a.token_counts, a.tokens_out)
    pooled = {pool.after: pool for pool in a.pools}
    tallest = max(tokens)
    shrink = min(1.0, 16 / a.depth) if a.depth > 16 else 1.0
    bar, gap = max(9.0, _BAR * shrink), max(2.0, _GAP * shrink)
    x = _END + 8
    parts = [_end(0, "stem", "conv" if a.stem == "conv" else "patch", str(a.patch_size))]
    for block in range(a.depth):
        tall = max(4.0, _TALL * tokens[block] / tallest)
        mixed = block in a.reattention
        parts.append(_bar(block, x, bar, tall, tokens[block], mixed=mixed))
        if block == 0 or tokens[block] != tokens[block - 1]:
            parts.append(_text(x + bar / 2, _TOP - 7, str(tokens[block]), "count"))
        x += bar
        if block in pooled:
            pool, after = pooled[block], max(4.0, _TALL * tokens[block + 1] / tallest)
            label = (
                f"pool after block {block}: {pool.op} {pool.kernel_size}/{pool.stride}, "
                f"{tokens[block]} to {tokens[block + 1]} tokens"
            )
            parts.append(_wedge(x + 1, tall, after, label))
            x += _WEDGE + 2
        else:
            x += gap
    x += 8 - gap
    if tokens[-1] != tokens[-2]:
        parts.append(_text(x + _END / 2, _TOP - 7, str(tokens[-1]), "count"))
    parts.append(_end(x, "head", a.head, f"{a.num_classes}"))
    width, height = x + _END, _TOP + _TALL + _BOTTOM
    return Markup(
        f'<svg class="blocks" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" aria-label="{_label(a)}">{"".join(parts)}</svg>'
    )


def _label(a: Architecture) -> str:
    return (
        f"{blocks_text(a)}. Re-attention in blocks: {index_ranges(a.reattention)}. "
        f"Pools after blocks: {pools_text(a)}."
    )


def _bar(block: int, x: float, wide: float, tall: float, tokens: int, *, mixed: bool) -> str:
    kind = "Re-attention" if mixed else "plain"
    y = _TOP + (_TALL - tall) / 2
    bar = (
        f'<rect class="{"mixed" if mixed else "plain"}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" '
        f'height="{tall:.1f}" rx="1.5"><title>block {block}: {kind}, {tokens} tokens</title></rect>'
    )
    mark = _text(x + wide / 2, _TOP + _TALL + 15, "R", "r") if mixed else ""
    return bar + mark


def _wedge(x: float, before: float, after: float, label: str) -> str:
    middle = _TOP + _TALL / 2
    points = (
        f"{x:.1f},{middle - before / 2:.1f} {x + _WEDGE:.1f},{middle - after / 2:.1f} "
        f"{x + _WEDGE:.1f},{middle + after / 2:.1f} {x:.1f},{middle + before / 2:.1f}"
    )
    return f'<polygon class="pool" points="{points}"><title>{label}</title></polygon>'


def _end(x: float, kind: str, first: str, second: str) -> str:
    y = _TOP + _TALL / 2 - 18
    box = (
        f'<rect class="end" x="{x + 0.5:.1f}" y="{y:.1f}" width="{_END - 1:.0f}" height="36" '
        'rx="4"/>'
    )
    name = f"{kind}: {first} {second}" + (" classes" if kind == "head" else "")
    middle = x + _END / 2
    texts = _text(middle, y + 15, first, "name") + _text(middle, y + 29, second, "name")
    return f"<g><title>{name}</title>{box}{texts}</g>"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'
