"""Charts of attention collapse: heat maps of how alike attention maps are, tokens over blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert

from results.chart_data import Row
from results.charts import whole_spec
from results.similarity import Told

_COLOURS = {"this network": "#7c3aed", "plain": "#8b9bb0"}


def similarity_specs(told: Told) -> dict[str, dict[str, Any]]:
    """For the page: "maps-TRIAL", "tokens-TRIAL", and "plain-TRIAL" where a plain network stands
    beside it."""
    number, plain = told["trial"], told.get("plain")
    specs = {f"maps-{number}": _page_map(told), f"tokens-{number}": _tokens(told)}
    return specs | ({} if plain is None else {f"plain-{number}": _page_map(plain)})


def similarity_svg(told: Told) -> str:
    """The heat map of a network as a picture; that of the plain one beside it."""
    beside = [(f"Trial {told['trial']}: attention maps", told)]
    if told.get("plain") is not None:
        number = told["plain"]["trial"]
        beside.append(("Plain twin" if number is None else f"Trial {number}, plain", told["plain"]))
    charts = [
        _heat_map(alt.InlineData(map_rows(of))).properties(title=title, width=240, height=240)
        for title, of in beside
    ]
    chart = charts[0] if len(charts) == 1 else alt.hconcat(*charts)
    return vl_convert.vegalite_to_svg(chart.to_dict())


def map_rows(told: Mapping[str, Any]) -> list[Row]:
    """A row for each pair of blocks whose maps are of one size."""
    trial = {} if told["trial"] is None else {"trial": told["trial"]}
    return [
        {"block": p, "other": q, "cosine": cosine, **trial}
        for p, row in zip(told["blocks"], told["maps"], strict=True)
        for q, cosine in zip(told["blocks"], row, strict=True)
        if cosine is not None
    ]


def _page_map(told: Mapping[str, Any]) -> dict[str, Any]:
    tooltip = [
        alt.Tooltip("block:O", title="Block"),
        alt.Tooltip("other:O", title="and block"),
        alt.Tooltip("cosine:Q", title="Cosine of maps", format=".3f"),
    ]
    if told["trial"] is not None:
        tooltip.insert(0, alt.Tooltip("trial:Q", title="Trial"))
    chart = _heat_map(alt.NamedData("maps")).encode(tooltip=tooltip)
    page = chart.properties(width="container", height=280)
    return whole_spec(page, {"maps": map_rows(told)})


def _heat_map(data: Any) -> alt.Chart:
    return (
        alt.Chart(data)
        .mark_rect()
        .encode(
            x=alt.X("other:O", title="Block", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("block:O", title="Block", axis=alt.Axis(labelOverlap=True)),
            color=alt.Color(
                "cosine:Q",
                title="Cosine of maps",
                scale=alt.Scale(domain=[0, 1], clamp=True, scheme="viridis"),
                legend=alt.Legend(orient="bottom", gradientLength=140),
            ),
        )
    )


def token_rows(told: Told) -> list[Row]:
    """A row for each block of the network, and of the plain one beside it."""
    both = {"this network": told, "plain": told.get("plain")}
    return [
        {"block": block, "alike": alike, "network": name}
        for name, of in both.items()
        if of is not None
        for block, alike in enumerate(of["tokens"])
    ]


def _tokens(told: Told) -> dict[str, Any]:
    rows = token_rows(told)
    names = list(dict.fromkeys(row["network"] for row in rows))
    scale = alt.Scale(domain=names, range=[_COLOURS[name] for name in names])
    legend = None if len(names) == 1 else alt.Legend(title=None, orient="bottom")
    chart = (
        alt.Chart(alt.NamedData("tokens"))
        .mark_line(strokeWidth=2, point={"size": 36, "filled": True})
        .encode(
            x=alt.X("block:O", title="Behind block", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("alike:Q", title="Cosine of tokens", axis=alt.Axis(tickCount=5)),
            color=alt.Color("network:N", scale=scale, legend=legend),
            tooltip=[
                alt.Tooltip("network:N", title="Network"),
                alt.Tooltip("block:O", title="Behind block"),
                alt.Tooltip("alike:Q", title="Cosine of tokens", format=".3f"),
            ],
        )
        .properties(width="container", height=280)
    )
    return whole_spec(chart, {"tokens": rows})
