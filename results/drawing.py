"""A small drawing of an architecture as inline SVG: one bar a block, as tall as it has tokens, in
its kind's colour and letter; what is done to tokens is a wedge behind."""

# `drawing.svg.jinja` holds the markup.

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from results.words import blocks_text, counted, pools_text
from space import Architecture, Stage
from space.parts import Mark, Part

if TYPE_CHECKING:
    from jinja2 import Template

TOP, TALL, BOTTOM = 20.0, 56.0, 22.0  # row of token counts, tallest bar, row of letters
END = 46.0  # width of stem and head
BAR, GAP, WEDGE = 24.0, 4.0, 16.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A block: its place, what it is, and its count of tokens where that changed."""

    x: float
    wide: float
    tall: float
    mark: Mark
    letters: str
    label: str
    count: str


@dataclass(frozen=True, slots=True)
class Wedge:
    """A part after a block: from how tall to how tall."""

    x: float
    before: float
    after: float
    mark: Mark
    label: str


def block_drawing(architecture: Architecture) -> Markup:
    """The drawing of a network; every text in it is escaped."""
    a = architecture
    bars, wedges, end = _laid_out(a)
    head = (a.head, str(a.num_classes), f"head: {a.head} {a.num_classes} classes")
    words = a.stem.words()
    size = str(getattr(a.stem, "patch_size", ""))
    stem = (
        "conv" if a.stem.kind in ("conv", "tokenizer") else a.stem.kind.rpartition(":")[2],
        size,
        words,
    )
    changed = a.tokens_out != a.token_counts[-1]
    return Markup(
        _template().render(
            bars=bars,
            wedges=wedges,
            ends=((0.0, *stem, ""), (end, *head, str(a.tokens_out) if changed else "")),
            width=end + END,
            height=TOP + TALL + BOTTOM,
            top=TOP,
            tall=TALL,
            end=END,
            wedge=WEDGE,
            label=f"{blocks_text(a)}. After blocks: {pools_text(a)}.",
        )
    )


def _laid_out(a: Architecture) -> tuple[list[Bar], list[Wedge], float]:
    """Bars, wedges and where the head begins."""
    tallest = max(*a.token_counts, a.tokens_out)
    shrink = min(1.0, 16 / a.depth) if a.depth > 16 else 1.0
    wide, gap = max(9.0, BAR * shrink), max(2.0, GAP * shrink)
    bars: list[Bar] = []
    wedges: list[Wedge] = []
    x, before = END + 8, 0

    def height(tokens: int) -> float:
        return max(4.0, TALL * tokens / tallest)

    for place in a.walk():
        tokens, parts = place.shape.length, _block_parts(place.stage)
        mark = next((part.mark for part in parts if part.mark.letter), parts[0].mark)
        letters = "".join(part.mark.letter for part in parts)
        words = ", ".join(part.words() for part in parts)
        for block in range(place.first, place.first + place.stage.depth):
            label = f"block {block}: {words}, {counted(tokens, 'token')}"
            shown = str(tokens) if tokens != before else ""
            bars.append(Bar(x, wide, height(tokens), mark, letters, label, shown))
            before, x = tokens, x + wide + gap
        for part, _, shape in place.then:
            left = part.after(shape).length
            kind = part.kind.rpartition(":")[2]
            label = f"{kind} after block {place.first + place.stage.depth - 1}: {part.words()}, "
            label += f"{shape.length} to {left} tokens"
            wedges.append(Wedge(x - gap + 1, height(shape.length), height(left), part.mark, label))
            x += WEDGE + 2 - gap
            x += gap if part is not place.stage.then[-1] else 0
    return bars, wedges, x + 8 - (gap if not a.stages[-1].then else 0)


def _block_parts(stage: Stage) -> list[Part]:
    """What is drawn of a block: its attention, and what beside it has a letter."""
    beside = (stage.local, stage.mlp)
    return [stage.attention, *(part for part in beside if part is not None and part.mark.letter)]


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("drawing.svg.jinja")
