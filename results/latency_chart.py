"""The chart of measured cost: accuracy over the latency of one image on a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from results.chart_data import Row, frontier_rows, log_ticks, span
from results.charts import BLUE, MARKS, accuracy_axis, whole_spec
from results.latency import Row as Measured
from results.run import Run
from results.words import metric_name, titled


def latency_rows(run: Run, measured: Sequence[Measured]) -> list[Row]:
    """A row for each network that was measured and has an accuracy, with milliseconds."""
    known = {row["trial"]: row for row in measured}
    return [
        {
            **{name: row[name] for name in ("trial", "series", "state", "accuracy", "flops")},
            **{
                end: 1000 * known[row["trial"]][of]
                for end, of in (("ms", "seconds"), ("low", "low"), ("high", "high"))
            },
        }
        for row in frontier_rows(run)
        if row["trial"] in known
    ]


def step_rows(rows: Sequence[Row]) -> list[Row]:
    """The corners of the staircase over latency, of networks that were trained to the end."""
    steps: list[Row] = []
    complete = [row for row in rows if row["series"] in ("on the frontier", "baseline", "complete")]
    for row in sorted(complete, key=lambda row: (row["ms"], -row["accuracy"])):
        if not steps or row["accuracy"] > steps[-1]["accuracy"]:
            steps.append({"ms": row["ms"], "accuracy": row["accuracy"]})
    return steps


def latency_spec(run: Run, measured: Sequence[Measured]) -> dict[str, Any] | None:
    """Accuracy over latency for the page; None where no network of the rows has an accuracy."""
    rows = latency_rows(run, measured)
    if not rows:
        return None
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    margin = max(1.05, (high / low) ** 0.06)
    across = span([row["accuracy"] for row in rows])
    x = _axis(low / margin, high * margin)
    y = accuracy_axis(across)
    names = [name for name in MARKS if any(row["series"] == name for row in rows)]
    colors, shapes = ([MARKS[name][i] for name in names] for i in (0, 1))
    bars = (
        alt.Chart(alt.NamedData("measured"))
        .mark_rule(strokeWidth=1.25, opacity=0.45, color=BLUE)
        .encode(x=_axis(low / margin, high * margin, "low"), x2="high:Q", y=y)
    )
    steps = (
        alt.Chart(alt.NamedData("faster"))
        .mark_line(interpolate="step-after", strokeWidth=2, color=BLUE)
        .encode(x=x, y=y)
    )
    points = (
        alt.Chart(alt.NamedData("measured"))
        .mark_point(filled=True, opacity=1, size=70)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=names, range=colors),
                legend=alt.Legend(title=None, orient="bottom"),
            ),
            shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=shapes)),
            tooltip=[
                alt.Tooltip("trial:Q", title="Trial"),
                alt.Tooltip("state:N", title="State"),
                alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
                alt.Tooltip("ms:Q", title="Latency in ms", format=".3g"),
                alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
            ],
        )
    )
    chart = alt.layer(bars, steps, points).properties(width="container", height=320)
    spec = whole_spec(chart, {"measured": rows, "faster": step_rows(rows)})
    return titled(spec, metric_name(run.metric))


def _axis(low: float, high: float, field: str = "ms") -> alt.X:
    ticks = log_ticks(low, high) if math.isfinite(low) and low > 0 else []
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    axis = alt.Axis(values=ticks, format="~g", grid=False, labelOverlap="greedy")
    title = "Latency of one image in milliseconds (log scale)"
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)
