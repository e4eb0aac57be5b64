"""How the search got there: hypervolume and best accuracy over trials, compute and hours."""

from __future__ import annotations

from typing import Any

import altair as alt

from results.anytime import OVER
from results.chart_data import ChartData
from results.charts import BLUE, percent_format, whole_spec
from results.words import titled

FIELDS = {"hypervolume": "Hypervolume", "best_accuracy": "Best accuracy"}
_RED = "#dc2626"


def progress_specs(data: ChartData) -> dict[str, dict[str, Any]]:
    """A step chart of each field over each of `OVER` that the run tells, by "field-over"."""
    return {
        f"{field}-{over}": _spec(data, field, over)
        for field in FIELDS
        for over, rows in data.progress.items()
        if len(rows) > 1
    }


def _spec(data: ChartData, field: str, over: str) -> dict[str, Any]:
    rows = data.progress[over]
    values = [row[field] for row in rows]
    is_accuracy = field == "best_accuracy"
    form = percent_format(max(values) - min(values)) if is_accuracy else ".2f"
    x = alt.X("spent:Q", title=OVER[over], axis=_axis(over))
    y: dict[str, Any] = {
        "title": FIELDS[field],
        "scale": alt.Scale(zero=False, nice=True),
        "axis": alt.Axis(format=form, tickCount=5),
    }
    line = (
        alt.Chart(alt.NamedData("progress"))
        .mark_line(interpolate="step-after", strokeWidth=2, color=BLUE)
        .encode(
            x=x,
            y=alt.Y(f"{field}:Q", **y),
            tooltip=[
                alt.Tooltip("trial:Q", title="After trial"),
                alt.Tooltip("hypervolume:Q", title="Hypervolume", format=".4f"),
                alt.Tooltip("best_accuracy:Q", title="Best accuracy", format=".1%"),
            ],
        )
    )
    layers: list[alt.Chart] = [line]
    datasets = {"progress": rows}
    if is_accuracy and data.largest_class is not None:
        guess = alt.Chart(alt.NamedData("guess")).mark_rule(strokeDash=[2, 3], color=_RED)
        layers.append(guess.encode(y=alt.Y("share:Q", **y)))
        datasets["guess"] = [{"share": data.largest_class}]
    chart = alt.layer(*layers).properties(width="container", height=200)
    return titled(whole_spec(chart, datasets), data.metric)


def _axis(over: str) -> alt.Axis:
    if over == "trial":
        return alt.Axis(tickMinStep=1, format="d", tickCount=5, grid=False)
    form = "~s" if over == "compute" else "~g"
    return alt.Axis(format=form, tickCount=4, grid=False)
