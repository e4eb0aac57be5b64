"""Numbers, units and architectures as people read them; base units stay in the data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from results.published import SOURCE, best_below, donor_for
from space import Architecture, Part
from space.parts import Mark

_SCALES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
MISSING = "–"
METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "top5": "top-5 accuracy",
    "f1": "macro F1",
}
MUCH_OF_TWO = 0.75  # of two classes, the larger one's share that is said; of more, twice its due
USUAL_IMAGES = 1000  # to validate on, where a run does not tell
PHOTOGRAPH = 96  # pixels from which images of three channels are taken for photographs


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


def donor(settings: Mapping[str, Any]) -> str | None:
    """The pretrained network that a run began from, by its run.json; None if from nothing."""
    init = settings.get("init")
    name = init.get("name") if isinstance(init, Mapping) else None
    return name if isinstance(name, str) else None


def teacher(settings: Mapping[str, Any]) -> str | None:
    """The network that those of a run learnt from, by its run.json; None without one."""
    known = settings.get("teacher")
    name = known.get("name") if isinstance(known, Mapping) else None
    return name if isinstance(name, str) else None


def metric_name(metric: str) -> str:
    """A run's metric as people say it."""
    return METRIC_NAMES.get(metric, metric)


def titled(spec: dict[str, Any], metric: str) -> dict[str, Any]:
    """A chart whose titles say `metric`, as people say it, where they say accuracy."""
    if metric == METRIC_NAMES["accuracy"]:
        return spec
    text = json.dumps(spec)
    for title in ("Validation accuracy", "Best accuracy", "Accuracy"):
        now = title.lower().replace("accuracy", metric)
        text = text.replace(f'"title": "{title}"', f'"title": "{now[0].upper()}{now[1:]}"')
    return dict(json.loads(text))


def pretrained_note(budget: int, *, img_size: int, in_chans: int) -> str | None:
    """What is said to who searches from scratch on photographs, where free weights win; None for
    images of fewer pixels than `PHOTOGRAPH` or of other channels."""
    if in_chans != 3 or img_size < PHOTOGRAPH:
        return None
    best, first = best_below(budget), donor_for(budget)
    known = (
        "No pretrained model that we know is so small"
        if best is None
        else (
            f"Under {format_count(budget)} FLOPs pretrained models exist, such as {best.name} "
            f"({format_count(best.flops)} at {best.img_size} pixels, {percent(best.accuracy)} of "
            "ImageNet)"
        )
    )
    return (
        f"{known}; on photographs a search from scratch is rarely as good: add `--init "
        f"{first.name}` to begin from weights ({SOURCE})."
    )


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


def hours(count: float, of: str) -> str:
    """Hours of a machine's `of`: "0.42 core-hours", "12.3 GPU-hours"."""
    return f"{scaled(count) if count >= 0.01 else f'{count:.2g}'} {of}-hours"


def data_name(name: str | None) -> str:
    """The data's name: of a folder or a name with a prefix, the last part alone."""
    text = str(name or MISSING).encode("utf-8", "replace").decode()  # a folder's may be no UTF-8
    return re.split(r"[/\\]", text.rstrip("/\\"))[-1] or text


def is_unbalanced(share: float, num_classes: int) -> bool:
    """Whether the largest class's share is twice its due, or much of two classes."""
    return share > min(2 / num_classes, MUCH_OF_TWO)


def unbalanced_text(share: float) -> str:
    """What is said of an accuracy where one class has `share` of the validation images."""
    return (
        f"The largest class has {percent(share)} of the validation images: an accuracy says little "
        "that does not exceed it; `--metric balanced_accuracy` or f1 weighs all classes alike."
    )


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


def shape_row(architecture: Architecture) -> dict[str, str]:
    """What the tables say of a network, by column: width, heads and MLP of every level ("64-128"),
    the blocks whose kind has a letter, what is done after which blocks."""
    a = architecture
    stages = [place.stage for place in a.walk()]
    return {
        "depth": str(a.depth),
        "width": _levels(str(place.shape.dim) for place in a.walk()),
        "heads": _levels(_field(stage.attention, "num_heads") for stage in stages),
        "MLP ×": _levels(_field(stage.mlp, "ratio") or stage.mlp.words() for stage in stages),
        "patch": _field(a.stem, "patch_size") or a.stem.words(),
        "Re-attention": _marked_blocks(a),
        "pools": pools_text(a),
        "head": a.head,
    }


def _levels(texts: Iterable[str]) -> str:
    """The different texts in their order: "64-128"; a dash for none."""
    return "-".join(text for text in dict.fromkeys(texts) if text) or MISSING


def _field(part: Part, name: str) -> str:
    value = getattr(part, name, None)
    return "" if value is None else f"{value:g}"


def _marked_blocks(a: Architecture) -> str:
    """Blocks of Re-attention by number; of other kinds with a letter with their words."""
    blocks: dict[str, list[int]] = {}
    for place in a.walk():
        for part in (place.stage.attention, place.stage.mlp, place.stage.local):
            if part is not None and part.mark.letter:
                words = "" if part.kind == "reattention" else f" {part.words()}"
                there = range(place.first, place.first + place.stage.depth)
                blocks.setdefault(words, []).extend(there)
    return "; ".join(f"{index_ranges(at)}{words}" for words, at in blocks.items()) or MISSING


def shape_text(architecture: Architecture) -> str:
    """All but the blocks: "6 blocks, 64 wide, 4 heads, MLP ×4, patch 2", and what is unusual."""
    a, first = architecture, architecture.stages[0]
    row = shape_row(a)
    text = [counted(a.depth, "block"), f"{row['width']} wide"]
    if row["heads"] != MISSING:
        text.append(f"{row['heads']} head" + ("s" if row["heads"] != "1" else ""))
    text += dict.fromkeys(place.stage.mlp.words() for place in a.walk())
    text += dict.fromkeys(place.stage.local.words() for place in a.walk() if place.stage.local)
    is_conv = a.stem.kind == "conv"
    text.append(f"patch {row['patch']}" if is_conv else a.stem.words())
    scaled = any(getattr(place.stage.attention, "scale", False) for place in a.walk())
    text += ["conv stem"] if is_conv else []
    text += ["scaled Re-attention"] if scaled else []
    if first.residual_scale != 1.0:
        text.append(f"residual scale {first.residual_scale:g}")
    if a.donor_blocks is not None:
        text += [f"{a.img_size} pixels", f"blocks {index_ranges(a.donor_blocks)} of the donor"]
    return ", ".join(text)


def marks(architectures: Iterable[Architecture]) -> list[tuple[Mark, str, bool]]:
    """The key of the drawings: each mark once, what it stands for, and whether it is a block's."""
    found: dict[Mark, tuple[str, bool]] = {}
    for a in architectures:
        for place in a.walk():
            for part, _, _ in place.parts:
                is_block = part not in place.stage.then
                beside = part in (place.stage.mlp, place.stage.local)
                if is_block and beside and not part.mark.letter:
                    continue
                words = part.words() if is_block else part.kind.rpartition(":")[2]
                found.setdefault(part.mark, (_key_words(part, words), is_block))
    return [(mark, *rest) for mark, rest in found.items()]


def _key_words(part: Part, words: str) -> str:
    mark = part.mark
    said = mark.words or (f"{words} block" if mark.letter else words)
    return f"{said}, marked {mark.letter}" if mark.letter else said


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


def hide_password(text: str) -> str:
    """`text` with the password of any URL in it replaced by ***."""
    text = re.sub(r"(?<=://)([^\s:/]*):(\S*|[^@/]*)@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^\s=&]*(?:pass|pwd)[^\s=&]*=)[^\s&]*", r"\1***", text)


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def foreign_text(trials: Iterable[int]) -> str:
    """What is said of trials that were added to the study by hand."""
    numbers = index_ranges(trials)
    return f"Left out: trial {numbers} of the study, which no search wrote."
