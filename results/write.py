"""Writes what a run found: frontier.json, frontier.csv, trials.csv, frontier.svg, .png and .pdf,
frontier.tex and .md, report.html, and what a confirmation found; each replaced as a whole, so that
a reader never sees half a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from results.chart_data import ChartData
from results.charts import frontier_pdf, frontier_png, frontier_svg
from results.confirmed_files import confirmed_csv, confirmed_json
from results.frontier import HYPERVOLUME_AXIS
from results.paper import frontier_md, frontier_tex
from results.record import TrialRecord, finite
from results.replace import replace_file
from results.report import render_report
from results.run import Run
from results.table import trials_csv
from space.flat import short_dict

FLOPS_CONVENTION = "1 FLOP = 1 multiply-accumulate, forward pass of one image"


def write_results(run: Run, *, title: str | None = None) -> list[Path]:
    """The paths of the files written into the run's folder. Takes some seconds.

    `title` is that of the pictures and of the tables for papers.
    """
    data = ChartData.of(run)
    svg = frontier_svg(data, title)
    front = run.front
    contents: dict[str, str | bytes] = {
        "frontier.json": frontier_json(run),
        "frontier.csv": trials_csv(front, front),
        "trials.csv": trials_csv(run.records, front),
        "frontier.svg": svg,
        "frontier.png": frontier_png(data, title),
        "frontier.pdf": frontier_pdf(data, title),
        "frontier.tex": frontier_tex(run, title),
        "frontier.md": frontier_md(run, title),
        "report.html": render_report(run, fallback_svg=svg, data=data),
    }
    if (found := run.confirmed) is not None:
        contents["confirmed.json"] = confirmed_json(run, found)
        contents["confirmed.csv"] = confirmed_csv(found)
    return [replace_file(run.path / name, content) for name, content in contents.items()]


def frontier_json(run: Run) -> str:
    """The frontier for machines; accuracies are fractions, points are sorted by FLOPs."""
    budget, accuracy = run.reference_point
    readings = [list(trials) for trials in run.test_readings]
    frontier = {
        "schema": 1,
        "run": run.name,
        "dataset": run.settings["data"].get("name"),
        "budget_flops": budget,
        "flops_convention": FLOPS_CONVENTION,
        "hypervolume": run.hypervolume,
        "hypervolume_axis": HYPERVOLUME_AXIS,
        "metric": run.metric,
        "reference_point": {"flops": budget, "accuracy": accuracy},
        "finished": run.finished,
        **({"test_readings": readings} if readings else {}),  # not told by old runs
        "preprocessing": preprocessing(run),
        "points": [_point(record) for record in run.front],
    }
    return json.dumps(frontier, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def preprocessing(run: Run) -> dict[str, Any] | None:
    """What was done with an image before a network saw it, in timm's words. None where run.json
    does not tell `mean` and `std`."""
    # The shorter side is resized to `img_size`, the centre cut, values are fractions less `mean`,
    # by `std`.
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


def _point(record: TrialRecord) -> dict[str, Any]:
    return {
        "trial": record.trial,
        "flops": record.flops,
        "params": record.params,
        "accuracy": record.accuracy,
        **({} if record.top1 is None else {"top1": finite(record.top1)}),
        "test_accuracy": finite(record.test_accuracy),
        "epochs": record.epochs,
        "seed": record.seed,
        "baseline": record.baseline,
        "seconds": finite(record.seconds),
        "architecture": short_dict(record.architecture),
    }
