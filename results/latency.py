"""`profile.json` of a run folder: what networks cost on devices, and how truly FLOPs tell it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from results.ranking import LEAST_NETWORKS, QUANTILES, REPEATS, Array, Tau, weighted_tau
from results.replace import replace_file
from results.words import counted, duration, percent, scaled
from space.files import read_small_file

PROFILE_FILE = "profile.json"
Row = dict[str, Any]
"""A network on a device: trial, flops, host, device, name, threads, compiled, batch_size, seconds
(of one image), low, high, runs, images_per_second, peak_bytes."""
_KEY = ("trial", "host", "device", "compiled", "batch_size")
_COLUMNS = (
    "trial flops host device name threads compiled batch_size seconds low high runs "
    "images_per_second peak_bytes"
).split()
MUCH_SLOWER = 1.25  # by how much a network with fewer FLOPs is slower where FLOPs are said to lie


def read_profile(folder: Path) -> list[Row]:
    """The rows that were measured; none before `vit-frontier profile`. Raises ValueError."""
    file = folder / PROFILE_FILE
    if not file.exists():
        return []
    try:
        rows = json.loads(read_small_file(file, 10**8))["rows"]
        return [{name: row[name] for name in _COLUMNS} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(file)!r} must be as `vit-frontier profile` wrote it, but: {error!r}. Remove it "
            "and measure again."
        ) from None


def write_profile(folder: Path, rows: Iterable[Row]) -> list[Row]:
    """Adds rows to profile.json and profile.csv, in the place of those of the same trial, device,
    batch and compilation; all there are then."""
    known = {tuple(row[k] for k in _KEY): row for row in [*read_profile(folder), *rows]}
    kept = sorted(known.values(), key=lambda row: (row["host"], row["device"], row["flops"]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    replace_file(folder / "profile.csv", text.getvalue())
    replace_file(folder / PROFILE_FILE, json.dumps({"schema": 1, "rows": kept}, indent=1) + "\n")
    return kept


def latencies(rows: Iterable[Row], *, device: str | None = None) -> dict[int, float]:
    """Seconds of one image by trial, of the rows measured like the first (of that device): a column
    of a report."""
    known = [row for row in rows if row["trial"] is not None and device in (None, row["device"])]
    like = ("host", "device", "compiled", "batch_size")
    alike = (row for row in known if all(row[name] == known[0][name] for name in like))
    return {row["trial"]: row["seconds"] for row in alike}


def by_device(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of trials, by what they were measured on and how; equal devices of several hosts
    count once, by the first."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    hosts: dict[tuple[Any, ...], str] = {}
    for row in rows:
        key = tuple(row[k] for k in ("device", "name", "threads", "compiled", "batch_size"))
        if row["trial"] is not None and hosts.setdefault(key, row["host"]) == row["host"]:
            groups.setdefault(key, []).append(row)
    return list(groups.values())


def device_text(row: Row) -> str:
    """What was measured on: "cpu (AMD EPYC, 1 thread), compiled"."""
    threads = f", {counted(row['threads'], 'thread')}" if row["device"] == "cpu" else ""
    return f"{row['device']} ({row['name']}{threads}){', compiled' if row['compiled'] else ''}"


def flops_agreement(rows: Sequence[Row]) -> Tau | None:
    """Kendall's tau of FLOPs and latency over the networks of one device, with an interval by
    drawing networks again; None below `LEAST_NETWORKS`."""
    if len(rows) < LEAST_NETWORKS:
        return None
    flops = np.array([row["flops"] for row in rows], float)
    seconds = np.array([row["seconds"] for row in rows], float)
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(rows), size=len(rows)) for _ in range(REPEATS))
    low, high = np.nanquantile([_tau(flops[d], seconds[d]) for d in draws], QUANTILES)
    tau = _tau(flops, seconds)
    return None if math.isnan(tau) else Tau(tau, float(low), float(high))


def _tau(x: Array, y: Array) -> float:
    return weighted_tau(x, y, np.ones(len(x)))


def misled(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pairs (fewer FLOPs, more FLOPs) in which the first is slower by a quarter or more, the worst
    first: where FLOPs mislead."""
    pairs = [
        (cheap, costly)
        for cheap in rows
        for costly in rows
        if cheap["flops"] < costly["flops"] and cheap["low"] > MUCH_SLOWER * costly["high"]
    ]
    return sorted(pairs, key=lambda pair: pair[1]["seconds"] / pair[0]["seconds"])


def said_of(rows: Sequence[Row]) -> list[str]:
    """What the rows of one device come to, a sentence each."""
    pairs = len(rows) * (len(rows) - 1) // 2
    tau, wrong = flops_agreement(rows), misled(rows)
    lines = []
    if tau is None:
        lines.append(
            f"How truly FLOPs rank latency is told of {LEAST_NETWORKS} networks or more; these are "
            f"{len(rows)}."
        )
    else:
        lines.append(
            f"FLOPs rank latency with Kendall's tau {tau.value:.2f} ({tau.low:.2f} to "
            f"{tau.high:.2f}, {len(rows)} networks)."
        )
    if wrong:
        cheap, costly = wrong[0]
        lines.append(
            f"FLOPs mislead in {len(wrong)} of {pairs} pairs ({percent(len(wrong) / pairs)}): most "
            f"of all, {_called(cheap)} of {scaled(cheap['flops'])}FLOPs takes "
            f"{duration_ms(cheap['seconds'])}, {_called(costly)} of {scaled(costly['flops'])}FLOPs "
            f"{duration_ms(costly['seconds'])}."
        )
    return lines


def duration_ms(seconds: float) -> str:
    """Seconds to "1.24 ms", above a second as `duration` does."""
    return duration(seconds) if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _called(row: Mapping[str, Any]) -> str:
    return "the network" if row["trial"] is None else f"trial {row['trial']}"
