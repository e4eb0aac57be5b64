"""Learning curves: of the members, each with its trial's number; in grey of those stopped early."""

from __future__ import annotations

from typing import Any

import altair as alt

from results.chart_data import ChartData, Row, log_ticks, span, thinned
from results.charts import accuracy_axis, whole_spec
from results.words import titled

_HEIGHT, _PLOT, _LINE = 320, 200, 15  # of the chart, of what is inside its axes, of a label
_MOST_TICKS = 12


def curves_spec(data: ChartData) -> dict[str, Any]:
    """Validation accuracy per epoch of each member of the frontier, coloured by FLOPs."""
    rows, grey = data.curves, data.stopped_curves
    across = span([row["accuracy"] for row in [*rows, *grey]])
    x = _epoch_axis(max(row["epoch"] for row in [*rows, *grey]))
    y = accuracy_axis(across)
    members = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(strokeWidth=1.75, point={"size": 22, "filled": True})
        .encode(x=x, y=y, color=_by_flops(data), detail="trial:N", tooltip=_tooltip())
    )
    labels = (
        alt.Chart(alt.NamedData("ends"))
        .mark_text(align="left", dx=8)
        .encode(x=x, y=accuracy_axis(across), text="trial:N")
    )
    layers = [members, labels]
    if grey:
        stopped = alt.Chart(alt.NamedData("stopped")).mark_line(
            strokeWidth=1, color="#8b9bb0", opacity=0.6, tooltip=None
        )
        layers.insert(0, stopped.encode(x=x, y=y, detail="trial:N"))
    chart = alt.layer(*layers).properties(width="container", height=_HEIGHT)
    datasets = {"curves": rows, "ends": end_rows(rows, across), "stopped": grey}
    spec = whole_spec(chart, {name: of for name, of in datasets.items() if of})
    return titled(spec, data.metric)


def end_rows(rows: list[Row], across: tuple[float, float]) -> list[Row]:
    """Where the number of each curve stands: at its end, below that of the curve above."""
    ends = {row["trial"]: row for row in rows if row["accuracy"] is not None}
    apart = (across[1] - across[0]) * _LINE / _PLOT
    placed: list[Row] = []
    for row in sorted(ends.values(), key=lambda row: -row["accuracy"]):
        above = placed[-1]["accuracy"] - apart if placed else across[1]
        if above < across[0]:
            break  # no room is left
        place = {"trial": row["trial"], "epoch": row["epoch"]}
        placed.append({**place, "accuracy": min(row["accuracy"], above)})
    return placed


def _epoch_axis(last: int) -> alt.X:
    """Whole epochs, and room for a number behind the last."""
    step = -(-last // _MOST_TICKS)
    values = [epoch for epoch in range(1, last + 1) if epoch % step == 0 or last <= _MOST_TICKS]
    scale = alt.Scale(domain=[min(1, last), last + max(0.25, 0.04 * last)], nice=False)
    axis = alt.Axis(values=values, format="d", grid=False)
    return alt.X("epoch:Q", title="Epoch", scale=scale, axis=axis)


def _by_flops(data: ChartData) -> alt.Color:
    flops = [row["flops"] for row in data.steps if "trial" in row]
    values = thinned(log_ticks(min(flops) / 1.5, max(flops) * 1.5))
    return alt.Color(
        "flops:Q",
        title="FLOPs",
        scale=alt.Scale(type="log", range=["#38bdf8", "#6366f1", "#be185d"]),
        legend=alt.Legend(type="symbol", orient="bottom", format="~s", values=values),
    )


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
        alt.Tooltip("train_loss:Q", title="Training loss", format=".3f"),
        alt.Tooltip("val_loss:Q", title="Validation loss", format=".3f"),
    ]
