"""The page of several runs: their frontiers in one chart, and a table of each setting and run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
from markupsafe import Markup

from results import charts, words
from results.anytime import cost_of
from results.chart_data import flops_domain, span
from results.overlay import QUARTILES_FROM, Group, band_rows, common_hypervolume, groups_of
from results.report import environment
from results.run import Run

_TABLEAU = 10  # colours of that scheme


def render_overlay(runs: Sequence[Run]) -> str:
    """The page as text. Raises ValueError on runs that cannot be compared."""
    groups = groups_of(runs)
    return (
        environment()
        .get_template("overlay.html")
        .render(
            title=f"{words.data_name(runs[0].settings['data'].get('name'))}: {len(runs)} runs",
            groups=[_told(group, runs) for group in groups],
            runs=[_row(run, group, runs) for group in groups for run in group.runs],
            metric=words.metric_name(runs[0].metric),
            smallest=min(run.budget_flops for run in runs),
            quartiles_from=QUARTILES_FROM,
            guessing=max(run.reference_point[1] for run in runs),
            charts={"overlay": overlay_spec(groups)},
            drawings=None,
            javascript=Markup(charts.javascript()),
            script=Markup((Path(__file__).parent / "report.js").read_text(encoding="utf-8")),
        )
    )


def overlay_spec(groups: Sequence[Group]) -> dict[str, Any]:
    """The median staircase of each group in a colour of its own, over its band."""
    bands = [row for group in groups for row in band_rows(group)]
    members = [
        {
            "group": group.name,
            "run": run.name,
            "trial": record.trial,
            "flops": record.flops,
            "accuracy": record.accuracy,
        }
        for group in groups
        for run in group.runs
        for record in run.front
    ]
    shown: list[Any] = [row["accuracy"] for row in members]
    shown += [row[key] for row in bands for key in ("low", "high") if key in row]
    budget = max(run.budget_flops for group in groups for run in group.runs)
    x = charts.flops_axis(flops_domain(budget, members))
    layers = _layers(groups, x, span(shown))
    chart = alt.layer(*layers).properties(width="container", height=420)
    spec = charts.whole_spec(chart, {"bands": bands, "members": members})
    return words.titled(spec, words.metric_name(groups[0].runs[0].metric))


def _layers(groups: Sequence[Group], x: alt.X, across: tuple[float, float]) -> list[alt.Chart]:
    scheme = "tableau10" if len(groups) <= _TABLEAU else "category20"
    names = [group.name for group in groups]
    color = alt.Color(
        "group:N",
        scale=alt.Scale(domain=names, scheme=scheme),
        legend=alt.Legend(title=None, orient="bottom", labelLimit=600, columns=1),
    )
    bands, members = alt.Chart(alt.NamedData("bands")), alt.Chart(alt.NamedData("members"))
    low, median = charts.accuracy_axis(across, "low"), charts.accuracy_axis(across, "median")
    return [
        bands.mark_area(interpolate="step-after", opacity=0.22)
        .encode(x=x, y=low, y2="high:Q", color=color)
        .transform_filter("isValid(datum.low)"),
        bands.mark_line(interpolate="step-after", strokeWidth=2.25).encode(
            x=x, y=median, color=color
        ),
        members.mark_point(filled=True, size=34, opacity=0.75).encode(
            x=x,
            y=charts.accuracy_axis(across),
            color=color,
            tooltip=[
                alt.Tooltip("group:N", title="Setting"),
                alt.Tooltip("run:N", title="Run"),
                alt.Tooltip("trial:Q", title="Trial"),
                alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
                alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
            ],
        ),
    ]


def _told(group: Group, runs: Sequence[Run]) -> dict[str, Any]:
    best = [run.front[-1].accuracy or 0.0 for run in group.runs if run.front]
    return {
        "name": group.name,
        "count": len(group.runs),
        "hypervolume": _spread([common_hypervolume(run, runs) for run in group.runs], "{:.3f}"),
        "best": _spread([100 * accuracy for accuracy in best], "{:.1f} %"),
        "core_hours": _spread([cost_of(run).core_hours for run in group.runs], "{:.3g}"),
    }


def _row(run: Run, group: Group, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "run": run,
        "group": group.name,
        "seed": run.settings.get("seed", words.MISSING),
        "hypervolume": common_hypervolume(run, runs),
        "best": run.front[-1].accuracy if run.front else None,
        "cost": cost_of(run),
    }


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and the range of several."""
    if not values:
        return words.MISSING
    text = form.format(statistics.median(values))
    if len(values) == 1:
        return text
    return f"{text} ({form.format(min(values))} to {form.format(max(values))})"
