"""The charts of a run as Vega-Lite specifications: the frontier. `curve_chart` has
curves, `progress_chart` progress.

All of them draw one `ChartData`; colours of text and axes are the page's (CSS).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import altair as alt
import vl_convert

from results.chart_data import SERIES, ChartData, Points, Row, log_ticks
from results.words import data_name, percent, scaled, titled

# Colour and shape of each series: told apart by both.
MARKS = {
    "on the frontier": ("#2563eb", "circle"),
    "baseline": ("#d97706", "diamond"),
    "complete": ("#8b9bb0", "circle"),
    "stopped early": ("#8b9bb0", "triangle-down"),
    "running": ("#0d9488", "square"),
    "failed": ("#dc2626", "cross"),
}
_NOTABLE = "datum.member || isValid(datum.baseline)"
_CONFIRMED = "#7c3aed"
_MANY_TRIALS = 400  # from here on points are smaller
BLUE = MARKS["on the frontier"][0]
_FONT = "system-ui, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
_FLOPS_TITLE = "FLOPs per image (multiply-accumulates, log scale)"


def frontier_spec(data: ChartData) -> dict[str, Any]:
    """The frontier and every trial that has an accuracy, for the page: tooltips, no fixed width."""
    chart = alt.layer(*_frontier_layers(data, data.page, interactive=True))
    page = chart.properties(width="container", height=400)
    return titled(whole_spec(page, _datasets(data, data.page)), data.metric)


def frontier_svg(data: ChartData, title: str | None = None) -> str:
    """The frontier as a picture for a README or a paper."""
    return vl_convert.vegalite_to_svg(_picture(data, title), vl_version=_vl_version())


def frontier_pdf(data: ChartData, title: str | None = None) -> bytes:
    """The frontier as a picture for LaTeX."""
    return vl_convert.vegalite_to_pdf(_picture(data, title), vl_version=_vl_version())


def frontier_png(data: ChartData, title: str | None = None) -> bytes:
    """The frontier as pixels, at twice the size of the SVG."""
    spec = _picture(data, title)
    return vl_convert.vegalite_to_png(spec, vl_version=_vl_version(), scale=2)


@cache
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script, to put into a page. Takes about 2 s once."""
    return vl_convert.javascript_bundle(vl_version=_vl_version())  # type: ignore[call-arg]


def _picture(data: ChartData, title: str | None) -> dict[str, Any]:
    layers = _frontier_layers(data, data.picture, interactive=False)
    named = data_name(data.dataset)
    title = title or f"{named}: {data.metric} within {scaled(data.budget_flops)}FLOPs"
    title = title.encode("utf-8", "replace").decode()  # what is typed may be no UTF-8
    told = alt.TitleParams(text=title, subtitle=_caption(data))
    chart = alt.layer(*layers).properties(width=680, height=380, title=told)
    spec = titled(whole_spec(chart, _datasets(data, data.picture)), data.metric)
    spec["background"] = "white"
    spec["padding"] = 12
    spec["config"]["aria"] = False
    return spec


def _caption(data: ChartData) -> str:
    """What bars, numbers and lines of the picture mean."""
    if not data.steps:
        return ""
    confirmed = "; squares are confirmed means" if data.confirmed else ""
    baselines = "; the dotted line is the baselines' own" if data.baseline_names else ""
    return f"Numbers are trials, bars one standard error of the accuracy{confirmed}{baselines}"


def _frontier_layers(data: ChartData, shown: Points, *, interactive: bool) -> list[alt.Chart]:
    domain = shown.accuracy_domain
    x, y = flops_axis(shown.flops_domain), accuracy_axis(domain)
    steps = alt.NamedData("steps")
    budget = [
        alt.Chart(alt.NamedData("budget"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.25, color="#dc2626")
        .encode(x=x),
        alt.Chart(alt.NamedData("budget"))
        .mark_text(angle=270, align="left", baseline="top", dx=6, dy=4, color="#dc2626")
        .encode(x=x, y=alt.YDatum(domain[0], **_accuracy(domain)), text="label:N"),
    ]
    budget += _largest_class(domain) if data.largest_class is not None else []
    points = _points(shown.rows, x, y, interactive=interactive)
    if not data.steps:
        return [*budget, points]
    confirmed = _confirmed(x, domain, interactive=interactive) if data.confirmed else []
    return [
        *budget,
        *_baselines(x, y, data),
        alt.Chart(steps)
        .mark_rule(strokeWidth=1.25, opacity=0.45, color=BLUE)
        .encode(x=x, y=alt.Y("low:Q", **_accuracy(domain)), y2="high:Q")
        .transform_filter("isValid(datum.low)"),
        alt.Chart(steps)
        .mark_line(interpolate="step-after", strokeWidth=2.25, color=BLUE)
        .encode(x=x, y=y),
        points,
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="right", baseline="bottom", dx=-6, dy=-4, color=BLUE)
        .encode(x=x, y=y, text="trial:N"),
        *confirmed,
    ]


def _baselines(x: alt.X, y: alt.Y, data: ChartData) -> list[alt.Chart]:
    """The staircase of the baselines alone, and their names, above and below by turns."""
    if not data.baseline_names:
        return []
    colour = MARKS["baseline"][0]
    steps = alt.Chart(alt.NamedData("baseline_steps"))
    line = steps.mark_line(
        interpolate="step-after", strokeWidth=1.5, strokeDash=[2, 2], color=colour, opacity=0.8
    )
    names = [
        alt.Chart(alt.NamedData("baseline_names"))
        .mark_text(align="right", baseline=side, dx=-4, dy=dy, fontSize=10, color=colour)
        .encode(x=x, y=y, text="name:N")
        .transform_filter(f"datum.above == {above}")
        for above, side, dy in (("true", "bottom", -7), ("false", "top", 7))
    ]
    return [line.encode(x=x, y=y), *names]


def _largest_class(domain: tuple[float, float]) -> list[alt.Chart]:
    """A line at what the largest class alone gives, and its words."""
    row, y = alt.Chart(alt.NamedData("guess")), alt.Y("share:Q", **_accuracy(domain))
    words = row.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color="#dc2626")
    return [
        row.mark_rule(strokeDash=[2, 3], color="#dc2626").encode(y=y),
        words.encode(x=alt.value(0), y=y, text="label:N"),
    ]


def _confirmed(x: alt.X, domain: tuple[float, float], *, interactive: bool) -> list[alt.Chart]:
    """Confirmed means as open squares with their bars, over the points of the search."""
    rows = alt.NamedData("confirmed")
    bars = (
        alt.Chart(rows)
        .mark_rule(strokeWidth=2, color=_CONFIRMED)
        .encode(x=x, y=alt.Y("low:Q", **_accuracy(domain)), y2="high:Q")
    )
    means = (
        alt.Chart(rows)
        .mark_point(shape="square", size=60, strokeWidth=2, color=_CONFIRMED, filled=False)
        .encode(x=x, y=alt.Y("mean:Q", **_accuracy(domain)))
    )
    if interactive:
        means = means.encode(
            tooltip=[
                alt.Tooltip("trial:Q", title="Trial"),
                alt.Tooltip("mean:Q", title="Confirmed mean", format=".2%"),
                alt.Tooltip("trainings:Q", title="Trainings"),
                alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
                alt.Tooltip("probability:Q", title="On the staircase", format=".0%"),
            ]
        )
    return [bars, means]


def _points(rows: Sequence[Row], x: alt.X, y: alt.Y, *, interactive: bool) -> alt.Chart:
    present = [name for name in SERIES if any(row["series"] == name for row in rows)]
    colors, shapes = ([MARKS[name][i] for name in present] for i in (0, 1))
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


def _datasets(data: ChartData, shown: Points) -> dict[str, list[Row]]:
    return {
        "trials": shown.rows,
        "steps": data.steps,
        "labels": shown.labels,
        **(
            {"baseline_steps": data.baseline_steps, "baseline_names": data.baseline_names}
            if data.baseline_names
            else {}
        ),
        **({"confirmed": data.confirmed} if data.confirmed else {}),
        **({"guess": _guess(data.largest_class)} if data.largest_class is not None else {}),
        "budget": [
            {"flops": data.budget_flops, "label": f"budget {scaled(data.budget_flops)}FLOPs"}
        ],
    }


def _guess(share: float) -> list[Row]:
    return [{"share": share, "label": f"largest class {percent(share)}"}]


def flops_axis(domain: tuple[float, float]) -> alt.X:
    """The logarithmic axis of FLOPs in that range."""
    low, high = domain
    axis = alt.Axis(values=log_ticks(low, high), format="~s", grid=False, labelOverlap="greedy")
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.X("flops:Q", title=_FLOPS_TITLE, scale=scale, axis=axis)


def accuracy_axis(domain: tuple[float, float], field: str = "accuracy") -> alt.Y:
    """The axis of validation accuracies in that range, for `field` of the rows."""
    return alt.Y(f"{field}:Q", **_accuracy(domain))


def _accuracy(domain: tuple[float, float]) -> dict[str, Any]:
    return {
        "title": "Validation accuracy",
        "scale": alt.Scale(domain=list(domain), zero=False, nice=False, clamp=True),
        "axis": alt.Axis(format=percent_format(domain[1] - domain[0]), tickCount=6, grid=True),
    }


def percent_format(span: float) -> str:
    """How accuracies of an axis that is `span` long are written."""
    return ".0%" if span > 0.08 else ".1%"


def whole_spec(chart: Any, datasets: dict[str, list[Row]]) -> dict[str, Any]:
    """The specification of a chart with its data and the look of all of them."""
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
        "title": {
            "fontSize": 15,
            "fontWeight": 600,
            "anchor": "start",
            "offset": 12,
            "subtitleFontSize": 11,
            "subtitleColor": "#475569",
        },
    }
    return spec


def _vl_version() -> str:
    """Altair's Vega-Lite as vl-convert names it: "6.4"."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
