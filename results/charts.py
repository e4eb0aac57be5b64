"""The charts of a run as Vega-Lite specifications: frontier, learning curves, progress.

First the rows a chart shows, then the chart; colours of text and axes are the page's (CSS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import altair as alt
import vl_convert

from results.frontier import progress
from results.record import TrialRecord
from results.run import Run
from results.units import blocks_text, scaled, shape_text, standard_error

# Name, colour, shape, and whether the mark is filled; told apart by shape as well as colour.
SERIES = {
    "on the frontier": ("#2563eb", "circle"),
    "baseline": ("#d97706", "diamond"),
    "complete": ("#8b9bb0", "circle"),
    "stopped early": ("#8b9bb0", "triangle-down"),
    "running": ("#0d9488", "square"),
    "failed": ("#dc2626", "cross"),
}
_NOTABLE = "datum.member || isValid(datum.baseline)"
_MANY_TRIALS = 400  # from here on points are smaller
_STATES = {"complete": "complete", "stopped": "stopped early"}
_BLUE = SERIES["on the frontier"][0]
_FONT = "system-ui, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
_FLOPS_TITLE = "FLOPs per image (multiply-accumulates, log scale)"


def frontier_spec(run: Run) -> dict[str, Any]:
    """The frontier and every trial that has an accuracy, for the page: tooltips, no fixed width."""
    rows = frontier_rows(run)
    chart = alt.layer(*_frontier_layers(run, rows, interactive=True))
    return _spec(chart.properties(width="container", height=400), _datasets(run, rows))


def frontier_svg(run: Run) -> str:
    """The frontier as a picture for a README or a paper."""
    return vl_convert.vegalite_to_svg(_picture(run), vl_version=_vl_version())


def frontier_png(run: Run) -> bytes:
    """The frontier as pixels, at twice the size of the SVG."""
    spec = _picture(run)
    return vl_convert.vegalite_to_png(spec, vl_version=_vl_version(), scale=2)


def curves_spec(run: Run) -> dict[str, Any]:
    """Validation accuracy per epoch of each member of the frontier, coloured by FLOPs."""
    rows = curve_rows(run)
    flops = [record.flops for record in run.front]
    line = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(strokeWidth=1.75, point={"size": 22, "filled": True})
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=_accuracy_axis(_domain([row["accuracy"] for row in rows])),
            color=alt.Color(
                "flops:Q",
                title="FLOPs",
                scale=alt.Scale(type="log", range=["#38bdf8", "#6366f1", "#be185d"]),
                legend=alt.Legend(
                    type="symbol",
                    orient="bottom",
                    format="~s",
                    values=_few(log_ticks(min(flops) / 1.5, max(flops) * 1.5)),
                ),
            ),
            detail="trial:N",
            tooltip=[
                alt.Tooltip("trial:Q", title="Trial"),
                alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
                alt.Tooltip("train_loss:Q", title="Training loss", format=".3f"),
                alt.Tooltip("val_loss:Q", title="Validation loss", format=".3f"),
            ],
        )
    )
    return _spec(line.properties(width="container", height=260), {"curves": rows})


def progress_spec(run: Run, field: str, title: str) -> dict[str, Any]:
    """`field` ("hypervolume" or "best_accuracy") after each trial, as a step line."""
    rows = progress_rows(run)
    values = [row[field] for row in rows]
    accuracy = _percent_format(max(values) - min(values))
    chart = (
        alt.Chart(alt.NamedData("progress"))
        .mark_line(interpolate="step-after", strokeWidth=2, color=_BLUE)
        .encode(
            x=alt.X("trial:Q", title="Trial", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=alt.Y(
                f"{field}:Q",
                title=title,
                scale=alt.Scale(zero=False, nice=True),
                axis=alt.Axis(format=accuracy if field == "best_accuracy" else ".2f", tickCount=5),
            ),
            tooltip=[
                alt.Tooltip("trial:Q", title="After trial"),
                alt.Tooltip("hypervolume:Q", title="Hypervolume", format=".4f"),
                alt.Tooltip("best_accuracy:Q", title="Best accuracy", format=".1%"),
            ],
        )
    )
    return _spec(chart.properties(width="container", height=200), {"progress": rows})


def frontier_rows(run: Run) -> list[dict[str, Any]]:
    """One row for each trial that has an accuracy; members of the frontier last, drawn on top."""
    members = {record.trial for record in run.front}
    rows = []
    for record in run.records:
        if record.accuracy is None or not math.isfinite(record.accuracy):
            continue
        series = _series(record, on_front=record.trial in members)
        row = {
            "trial": record.trial,
            "series": series,
            "state": _state(record, series),
            "flops": record.flops,
            "accuracy": record.accuracy,
            "member": record.trial in members,
            "params": record.params,
            "epochs": record.epochs,
            "shape": shape_text(record.architecture),
            "blocks": blocks_text(record.architecture),
        }
        rows.append(row | ({"baseline": record.baseline} if record.baseline else {}))
    order = list(SERIES)
    return sorted(rows, key=lambda row: (-order.index(row["series"]), row["trial"]))


def step_rows(run: Run) -> list[dict[str, Any]]:
    """The corners of the staircase: each member, then the last accuracy up to the budget."""
    images = run.settings["data"].get("validation")
    rows: list[dict[str, Any]] = []
    for record in run.front:
        accuracy = cast(float, record.accuracy)
        error = standard_error(accuracy, images) if images else 0.0
        low, high = max(0.0, accuracy - error), min(1.0, accuracy + error)
        step = {"flops": record.flops, "accuracy": accuracy, "low": low, "high": high}
        rows.append(step | {"trial": record.trial})
    if rows and rows[-1]["flops"] < run.budget_flops:
        rows.append({"flops": run.budget_flops, "accuracy": rows[-1]["accuracy"]})
    return rows


def curve_rows(run: Run) -> list[dict[str, Any]]:
    """One row for each epoch of each member of the frontier; NaN as None, which JSON can hold."""
    return [
        {
            "trial": record.trial,
            "flops": record.flops,
            "epoch": epoch.epoch,
            "accuracy": _finite(epoch.accuracy),
            "train_loss": _finite(epoch.train_loss),
            "val_loss": _finite(epoch.val_loss),
        }
        for record in run.front
        for epoch in record.curve
    ]


def progress_rows(run: Run) -> list[dict[str, Any]]:
    """Hypervolume and best accuracy after each improvement, and after the last trial."""
    budget, reference = run.reference_point
    steps = progress(run.records, budget_flops=budget, reference_accuracy=reference)
    rows = [
        {"trial": s.trial, "hypervolume": s.hypervolume, "best_accuracy": s.best_accuracy}
        for s in steps
    ]
    last = max((record.trial for record in run.records), default=0)
    if rows and rows[-1]["trial"] < last:
        rows.append({**rows[-1], "trial": last})
    return rows


@cache
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script, to put into a page. Takes about 2 s once."""
    return vl_convert.javascript_bundle(vl_version=_vl_version())  # type: ignore[call-arg]


def _picture(run: Run) -> dict[str, Any]:
    comparable = ("on the frontier", "baseline", "complete")
    rows = [row for row in frontier_rows(run) if row["series"] in comparable]
    layers = _frontier_layers(run, rows, interactive=False)
    title = f"{run.settings['data'].get('name')}: accuracy within {scaled(run.budget_flops)}FLOPs"
    chart = alt.layer(*layers).properties(width=680, height=380, title=title)
    spec = _spec(chart, _datasets(run, rows))
    spec["background"] = "white"
    spec["padding"] = 12
    spec["config"]["aria"] = False
    return spec


def _frontier_layers(run: Run, rows: list[dict[str, Any]], *, interactive: bool) -> list[alt.Chart]:
    domain = _accuracy_domain(run, rows)
    x, y = _flops_axis(run, rows), _accuracy_axis(domain)
    steps = alt.NamedData("steps")
    budget = [
        alt.Chart(alt.NamedData("budget"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.25, color="#dc2626")
        .encode(x=x),
        alt.Chart(alt.NamedData("budget"))
        .mark_text(angle=270, align="left", baseline="top", dx=6, dy=4, color="#dc2626")
        .encode(x=x, y=alt.YDatum(domain[0], **_accuracy(domain)), text="label:N"),
    ]
    points = _points(rows, x, y, interactive=interactive)
    if not run.front:
        return [*budget, points]
    return [
        *budget,
        alt.Chart(steps)
        .mark_rule(strokeWidth=1.25, opacity=0.45, color=_BLUE)
        .encode(x=x, y=alt.Y("low:Q", **_accuracy(domain)), y2="high:Q")
        .transform_filter("isValid(datum.low)"),
        alt.Chart(steps)
        .mark_line(interpolate="step-after", strokeWidth=2.25, color=_BLUE)
        .encode(x=x, y=y),
        points,
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="right", baseline="bottom", dx=-6, dy=-4, color=_BLUE)
        .encode(x=x, y=y, text="trial:N"),
    ]


def _points(rows: Sequence[dict[str, Any]], x: alt.X, y: alt.Y, *, interactive: bool) -> alt.Chart:
    present = [name for name in SERIES if any(row["series"] == name for row in rows)]
    colors, shapes = ([SERIES[name][i] for name in present] for i in (0, 1))
    few = len(rows) <= _MANY_TRIALS
    legend = alt.Legend(title=None, orient="bottom", symbolSize=80, symbolStrokeWidth=0)
    color = alt.Scale(domain=present, range=colors)
    points = (
        alt.Chart(alt.NamedData("trials"))
        .mark_point(filled=True, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("series:N", scale=color, legend=legend if present else None),
            shape=alt.Shape("series:N", scale=alt.Scale(domain=present, range=shapes)),
            size=alt.condition(_NOTABLE, alt.value(85), alt.value(50 if few else 22)),
            fillOpacity=alt.condition(_NOTABLE, alt.value(0.95), alt.value(0.8 if few else 0.55)),
        )
    )
    if not interactive:
        return points
    chosen = alt.selection_point(fields=["series"], bind="legend", name="chosen")
    return points.encode(
        opacity=alt.condition(chosen, alt.value(1), alt.value(0.06)),
        tooltip=[
            alt.Tooltip("trial:Q", title="Trial"),
            alt.Tooltip("state:N", title="State"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
            alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
            alt.Tooltip("params:Q", title="Parameters", format=".3s"),
            alt.Tooltip("epochs:Q", title="Epochs"),
            alt.Tooltip("shape:N", title="Shape"),
            alt.Tooltip("blocks:N", title="Blocks"),
        ],
    ).add_params(chosen)


def _datasets(run: Run, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        "trials": rows,
        "steps": step_rows(run),
        "labels": _apart(run, rows),
        "budget": [{"flops": run.budget_flops, "label": f"budget {scaled(run.budget_flops)}FLOPs"}],
    }


def _apart(run: Run, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The members whose numbers can be written without touching the one before."""
    (left, right), (low, high) = _flops_domain(run, rows), _accuracy_domain(run, rows)
    shown: list[dict[str, Any]] = []
    before = (-math.inf, -math.inf)
    for row in reversed([row for row in step_rows(run) if "trial" in row]):
        across = 700 * math.log(row["flops"] / left) / math.log(right / left)
        up = 380 * (row["accuracy"] - low) / (high - low)
        if not shown or before[0] - across > 34 or before[1] - up > 18:
            shown.append(row)
            before = (across, up)
    return shown


def _series(record: TrialRecord, *, on_front: bool) -> str:
    if record.baseline is not None and record.state == "complete":
        return "baseline"
    return "on the frontier" if on_front else _STATES.get(record.state, record.state)


def _state(record: TrialRecord, series: str) -> str:
    if record.baseline is None:
        return series
    return f"{_STATES.get(record.state, record.state)}, baseline {record.baseline}"


def _flops_domain(run: Run, rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    flops = [run.budget_flops, *(row["flops"] for row in rows)]
    high = max(flops)
    low = min(*flops, high / 3) if rows else high / 10
    margin = (high / low) ** 0.06
    return low / margin, high * margin


def below_axis(run: Run) -> int:
    """How many trials are too low for the accuracy axis and drawn at its foot."""
    rows = frontier_rows(run)
    low = _accuracy_domain(run, rows)[0]
    return sum(row["accuracy"] < low for row in rows)


# The lowest tenth does not stretch the axis, so that networks that never learned leave room.
def _accuracy_domain(run: Run, rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    bars = [row[key] for row in step_rows(run) for key in ("low", "high") if key in row]
    rest = sorted(row["accuracy"] for row in rows if row["series"] != "failed")
    return _domain([*bars, *rest[len(rest) // 10 :]])


def _domain(accuracies: Sequence[float | None]) -> tuple[float, float]:
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if not known:
        return 0.0, 1.0
    margin = max(0.01, 0.08 * (max(known) - min(known)))
    return max(0.0, min(known) - margin), min(1.0, max(known) + margin)


def _flops_axis(run: Run, rows: Sequence[dict[str, Any]]) -> alt.X:
    low, high = _flops_domain(run, rows)
    axis = alt.Axis(values=log_ticks(low, high), format="~s", grid=False, labelOverlap="greedy")
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.X("flops:Q", title=_FLOPS_TITLE, scale=scale, axis=axis)


def _accuracy_axis(domain: tuple[float, float]) -> alt.Y:
    return alt.Y("accuracy:Q", **_accuracy(domain))


def _accuracy(domain: tuple[float, float]) -> dict[str, Any]:
    return {
        "title": "Validation accuracy",
        "scale": alt.Scale(domain=list(domain), zero=False, nice=False, clamp=True),
        "axis": alt.Axis(format=_percent_format(domain[1] - domain[0]), tickCount=6, grid=True),
    }


def _percent_format(span: float) -> str:
    return ".0%" if span > 0.08 else ".1%"


def _few(values: Sequence[float], most: int = 5) -> Sequence[float]:
    return values[:: -(-len(values) // most)] if values else values


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, at least three where the axis allows."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= (3 if len(steps) == 3 else 4):
            break
    return ticks


def _spec(chart: Any, datasets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    spec = cast(dict[str, Any], chart.to_dict())
    del spec["$schema"]  # an address that nothing here visits
    spec["datasets"] = datasets
    spec["background"] = "transparent"
    spec["autosize"] = {"type": "fit", "contains": "padding"}
    spec["config"] = {
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelColor": "#475569",
            "titleColor": "#475569",
            "gridColor": "#e2e8f0",
            "domainColor": "#94a3b8",
            "tickColor": "#94a3b8",
            "titlePadding": 10,
        },
        "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
        "text": {"fontSize": 12, "font": _FONT},
        "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        "title": {"fontSize": 15, "fontWeight": 600, "anchor": "start", "offset": 12},
    }
    return spec


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _vl_version() -> str:
    """Altair's Vega-Lite as vl-convert names it: "6.4"."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
