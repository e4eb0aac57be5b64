"""Writes what a run found: frontier.json, frontier.csv, trials.csv, frontier.svg, frontier.png and
report.html, each replaced as a whole, so that a reader never sees half a file."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.charts import frontier_png, frontier_svg
from results.frontier import HYPERVOLUME_AXIS
from results.record import TrialRecord, finite
from results.report import render_report
from results.run import Run
from space import Architecture
from space.flat import flat_dict

FLOPS_CONVENTION = "1 FLOP = 1 multiply-accumulate, forward pass of one image"


def write_results(run: Run) -> list[Path]:
    """The paths of the files written into the run's folder. Takes some seconds."""
    svg = frontier_svg(run)
    front = run.front
    contents: dict[str, str | bytes] = {
        "frontier.json": frontier_json(run),
        "frontier.csv": trials_csv(front, front),
        "trials.csv": trials_csv(run.records, front),
        "frontier.svg": svg,
        "frontier.png": frontier_png(run),
        "report.html": render_report(run, fallback_svg=svg),
    }
    return [replace_file(run.path / name, content) for name, content in contents.items()]


def frontier_json(run: Run) -> str:
    """The frontier for machines; accuracies are fractions, points are sorted by FLOPs."""
    budget, accuracy = run.reference_point
    frontier = {
        "schema": 1,
        "run": run.name,
        "dataset": run.settings["data"].get("name"),
        "budget_flops": budget,
        "flops_convention": FLOPS_CONVENTION,
        "hypervolume": run.hypervolume,
        "hypervolume_axis": HYPERVOLUME_AXIS,
        "reference_point": {"flops": budget, "accuracy": accuracy},
        "finished": run.finished,
        "preprocessing": preprocessing(run),
        "points": [_point(record) for record in run.front],
    }
    return json.dumps(frontier, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def preprocessing(run: Run) -> dict[str, Any] | None:
    """What was done with an image before a network saw it, in timm's words: the shorter side
    resized to `img_size`, the centre cut, values as fractions less `mean`, by `std`. None where
    run.json does not tell `mean` and `std`."""
    data = run.settings["data"]
    mean, std = data.get("mean"), data.get("std")
    for values in (mean, std):
        numbers = isinstance(values, list) and len(values) == data.get("in_chans")
        if not numbers or not all(type(v) is float and math.isfinite(v) for v in values):
            return None
    return {
        "mean": mean,
        "std": std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
    }


def trials_csv(records: Iterable[TrialRecord], front: Iterable[TrialRecord]) -> str:
    """One line a record, UTF-8; texts that a spreadsheet would run as a formula are quoted by '."""
    members = {record.trial for record in front}
    text = io.StringIO(newline="")
    rows = [_row(record, on_front=record.trial in members) for record in records]
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


_COLUMNS = (
    "trial state on_front flops params accuracy test_accuracy epochs seconds seed baseline "
    "img_size patch_size in_chans num_classes embed_dim depth num_heads mlp_ratio reattention "
    "pools head stem reattention_scale residual_scale tokens accuracy_per_epoch started worker "
    "error_kind error architecture"
).split()


def _point(record: TrialRecord) -> dict[str, Any]:
    return {
        "trial": record.trial,
        "flops": record.flops,
        "params": record.params,
        "accuracy": record.accuracy,
        "test_accuracy": finite(record.test_accuracy),
        "epochs": record.epochs,
        "seed": record.seed,
        "baseline": record.baseline,
        "seconds": finite(record.seconds),
        "architecture": flat_dict(record.architecture) or record.architecture.to_dict(),
    }


def _row(record: TrialRecord, *, on_front: bool) -> dict[str, Any]:
    a = record.architecture
    own = {name: getattr(record, name) for name in _COLUMNS if hasattr(record, name)}
    flat = flat_dict(a)
    shape = {name: value for name, value in (flat or _sizes(a)).items() if name in _COLUMNS}
    after = ((block, part.words().replace(" ", ":")) for block, part, _ in a.after_blocks())
    return {
        **shape,
        **own,
        "on_front": str(on_front).lower(),
        "depth": a.depth,
        "reattention": " ".join(map(str, a.blocks_of("reattention"))),
        "pools": " ".join(f"{block}:{words}" for block, words in after),
        "reattention_scale": str(bool(flat and flat["reattention_scale"])).lower(),
        "tokens": " ".join(map(str, a.token_counts)),
        "accuracy_per_epoch": " ".join(f"{epoch.accuracy:.6g}" for epoch in record.curve),
        "architecture": json.dumps(flat or a.to_dict(), separators=(",", ":")),
    }


def _sizes(a: Architecture) -> dict[str, Any]:
    """What the columns say of a network that is no column of equal blocks."""
    sizes = {name: getattr(a, name) for name in ("img_size", "in_chans", "num_classes", "head")}
    return sizes | {"embed_dim": a.embed_dim, "stem": a.stem.kind}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare \r would end the line
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\n")) else value


def replace_file(path: Path, content: str | bytes) -> Path:
    """Writes the file as a whole or not at all; its path."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
