"""report.html: one self-contained page that tells what a run found, readable offline.

Here the numbers are made ready; `report.html` beside this file says how they are laid out.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results import charts, words
from results.anytime import cost_of, most_at_once
from results.chart_data import ChartData
from results.curve_chart import curves_spec
from results.drawing import block_drawing
from results.effects import DOUBT, MARGIN, effects_of
from results.frontier import HYPERVOLUME_AXIS, hypervolume
from results.latency import (
    Row,
    by_device,
    device_text,
    duration_ms,
    latencies,
    read_profile,
    said_of,
)
from results.latency_chart import latency_spec
from results.model_card import data_license
from results.progress_chart import progress_specs
from results.record import TrialRecord
from results.run import Run
from results.scaling import FACTOR, Expected, scaling_of
from results.similarity import Told, plain_text, read_inspected, similar_text
from results.similarity_chart import similarity_specs
from results.words import hide_password

_MOST_NAMED = 12


def render_report(
    run: Run,
    *,
    fallback_svg: str | None = None,
    data: ChartData | None = None,
    reload_seconds: int | None = None,
) -> str:
    """The page as text. `fallback_svg` is shown where scripts do not run. Takes about 2 s.

    `data` is that of `run`, where it has been computed already. `reload_seconds`: after which the
    page loads itself again.
    """
    data = data or ChartData.of(run)
    told, measured = read_inspected(run.path), by_device(read_profile(run.path))
    return (
        environment()
        .get_template("report.html")
        .render(
            run=run,
            reload_seconds=reload_seconds,
            front=run.front,
            members={record.trial for record in run.front},
            state=_state(run),
            confirmed=run.confirmed,
            effects=effects_of(run),
            budgets=_budgets(run),
            factor=FACTOR,
            doubt=DOUBT,
            margin=MARGIN,
            unconfirmed=run.unconfirmed,
            donor=words.donor(run.settings),
            data_license=data_license(run.settings["data"].get("name")),
            teacher=words.teacher(run.settings),
            axis=HYPERVOLUME_AXIS,
            data=_Defaults(run.settings["data"]),
            metric=words.metric_name(run.metric),
            **_compared_with(run),
            weights=(run.path / "weights").is_dir(),
            failures=failures(run.records),
            failures_total=run.count("failed"),
            below_axis=data.below_axis,
            stopped_curves=bool(data.stopped_curves),
            undrawn=len(run.records) - len(data.page.rows),
            cost=cost_of(run),
            unbalanced=None
            if run.largest_class is None
            else words.unbalanced_text(run.largest_class),
            seconds=sum(record.seconds or 0.0 for record in run.records),
            error=lambda accuracy: _error(run, accuracy),
            charts=_charts(run, data, told, measured),
            **_told_beside(run, told, measured),
            fallback_svg=Markup(fallback_svg) if fallback_svg else "",
            javascript=Markup(charts.javascript() if run.records else ""),
            script=Markup((Path(__file__).parent / "report.js").read_text(encoding="utf-8")),
            drawings=packed_drawings(run) if run.records else None,
            command=command_line(run.settings.get("command"), _chosen(run)),
            sections=sections(run.settings),
        )
    )


def environment() -> Environment:
    """Templates of this folder, and the words that they use as filters."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        scaled=words.scaled,
        percent=words.percent,
        duration=words.duration,
        ms=duration_ms,
        hours=words.hours,
        ranges=words.index_ranges,
        pools=words.pools_text,
        shape_row=words.shape_row,
        marks=lambda front: words.marks(record.architecture for record in front),
        shape=words.shape_text,
        drawing=block_drawing,
    )
    return environment


def packed_drawings(run: Run) -> str:
    """The drawing of every trial by number, as JSON in zlib's format in base64."""
    drawn = {record.trial: block_drawing(record.architecture) for record in run.records}
    return base64.b64encode(zlib.compress(json.dumps(drawn).encode(), 9)).decode()


def _budgets(run: Run) -> list[tuple[str, Expected]]:
    """What half, the same and twice the budget would buy, as far as that can be said."""
    law = scaling_of(run)
    asked = {"Half the budget": 0.5, "This budget": 1.0, "Twice the budget": 2.0}
    if law is None:
        return []
    return [
        (words, law.at(times * run.budget_flops))
        for words, times in asked.items()
        if law.reaches(times * run.budget_flops)
    ]


def _compared_with(run: Run) -> dict[str, Any]:
    """The baselines and what they reach."""
    baselines = [record for record in run.records if record.baseline is not None]
    reached = hypervolume(
        baselines, budget_flops=run.budget_flops, reference_accuracy=run.reference_point[1]
    )
    return {"baselines": baselines, "baselines_hypervolume": reached}


def _told_beside(
    run: Run, told: Sequence[Told], measured: Sequence[Sequence[Row]]
) -> dict[str, Any]:
    """What the page says of what `inspect` and `profile` found, beside their charts."""
    return {
        "inspected": [_inspected(run, found) for found in told],
        "measured": [(device_text(rows[0]), said_of(rows), rows) for rows in measured],
        "latency": latencies(measured[0]) if measured else {},
    }


def _inspected(run: Run, told: Told) -> dict[str, Any]:
    """What the page says of a network that was inspected, beside its charts."""
    plain = told.get("plain")
    record = next((r for r in run.records if r.trial == told["trial"]), None)
    return {
        "told": told,
        "record": record,
        "similar": similar_text(told),
        "plain": plain and plain_text(run, plain),
        "plain_similar": plain and similar_text(plain),
    }


def failures(records: Iterable[TrialRecord]) -> list[dict[str, Any]]:
    """Failed trials by kind and reason, the most frequent first; one traceback stands for each."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in records:
        if record.state == "failed":
            kind = record.error_kind or "unknown"
            groups.setdefault((kind, record.error or "no reason recorded"), []).append(record)
    return [
        {
            "kind": kind,
            "error": error,
            "count": len(group),
            "trials": _text([record.trial for record in group]),
            "traceback": next((r.traceback for r in group if r.traceback), None),
        }
        for (kind, error), group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def sections(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the run was made of, as titled lists of names and texts, passwords hidden."""
    general = {
        key: settings.get(key) for key in ("name", "created", "budget_flops", "max_params", "seed")
    }
    named = {
        "Run": general,
        "Settings": settings.get("settings"),
        "Data": _without(settings.get("data"), "brightness"),
        "Recipe": settings.get("recipe"),
        "Search space": settings.get("space"),
        "Versions": settings.get("versions"),
        "Hardware": settings.get("hardware"),
    }
    return [
        (title, _entries(values, nested=title == "Search space"))
        for title, values in named.items()
        if isinstance(values, Mapping) and values
    ]


def _without(values: Any, name: str) -> Any:
    """A table without what no person reads."""
    return {k: v for k, v in values.items() if k != name} if isinstance(values, Mapping) else values


def command_line(argv: Any, chosen: Mapping[str, Any] | None = None) -> str | None:
    """The command that started the run, as one would type it, passwords hidden; with those options
    of `chosen` that a search was not given."""
    if not isinstance(argv, list) or not argv:
        return None
    program, *arguments = map(str, argv)
    path = Path(program)
    typed = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    for option, value in (chosen or {}).items():
        given = any(word.partition("=")[0] == option for word in arguments)
        if "search" in [*typed, *arguments] and value is not None and not given:
            arguments += [option, str(value)]
    return hide_password(shlex.join([*typed, *arguments]))


def _chosen(run: Run) -> dict[str, Any]:
    """What decides whether the same search gives the same records."""
    workers = run.asked("workers") or most_at_once(run)
    return {"--seed": run.settings.get("seed"), "--workers": workers}


def _state(run: Run) -> str:
    running = run.count("running")
    if run.finished:
        reason = run.stop_reason or run.ended_short
        return f"finished: {reason}" if reason else "finished"
    if running:
        return f"not finished: {running} running when this page was written"
    return f"interrupted: {run.stop_reason}" if run.stop_reason else "interrupted, can be resumed"


def _charts(
    run: Run,
    data: ChartData,
    inspected: Iterable[Told],
    measured: Iterable[Sequence[Row]],
) -> dict[str, dict[str, Any]]:
    if not run.records:
        return {}
    specs = {"frontier": charts.frontier_spec(data)}
    if any(record.epochs > 1 for record in run.front):
        specs["curves"] = curves_spec(data)
    for place, rows in enumerate(measured):
        spec = latency_spec(run, rows)
        specs |= {f"latency-{place}": spec} if spec else {}
    for found in inspected:
        specs |= similarity_specs(found)
    return specs | progress_specs(data)


def _error(run: Run, accuracy: float | None) -> str:
    images = run.images
    if not images or accuracy is None or not math.isfinite(accuracy):
        return ""
    return f"± {100 * words.standard_error(accuracy, images):.1f}"


def _entries(values: Mapping[str, Any], *, nested: bool) -> list[tuple[str, str]]:
    """Names and texts; what the settings repeat from other sections is left to those."""
    return [
        (key.removesuffix("_bytes"), words.scaled(value, "B"))
        if key.endswith("_bytes") and isinstance(value, int)
        else (key, _text(value))
        for key, value in values.items()
        if nested or not isinstance(value, Mapping)
    ]


def _text(value: Any) -> str:
    if value is None:
        return words.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items()) or words.MISSING
    if isinstance(value, (list, tuple)):
        more = len(value) - _MOST_NAMED
        shown = ", ".join(_text(part) for part in value[:_MOST_NAMED]) or "none"
        return f"{shown} and {more} more" if more > 0 else shown
    if isinstance(value, int) and value >= 100_000:
        return f"{value:,}".replace(",", " ")
    return hide_password(str(value))


class _Defaults(dict[str, Any]):
    """A mapping whose missing keys read as a dash, for descriptions by other versions."""

    def __missing__(self, key: str) -> str:
        return words.MISSING
