"""The command that measures what networks cost on devices: profile."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import console_of

if TYPE_CHECKING:
    from rich.console import Console

    from results.latency import Row

What = Annotated[
    str,
    Argument(metavar="RUN|RUN:TRIAL|NAME|FILE", help="A run folder, or one network as for flops."),
]
Networks = Annotated[int, Option(help="Of a run: members, baselines and others, so many in all.")]
BatchSize = Annotated[int, Option(help="Images of a pass where throughput is measured.")]
Seconds = Annotated[float, Option(help="Of timing, for each network, device and batch.")]
Compile = Annotated[bool, Option("--compile", help="Time what torch.compile makes of networks.")]
Address = Annotated[
    str | None, Option(help="A Ray cluster, auto or host:port: every node. [this machine]")
]


def profile(
    what: What,
    networks: Networks = 24,
    batch_size: BatchSize = 64,
    seconds: Seconds = 1.0,
    compile: Compile = False,
    address: Address = None,
    as_json: o.Json = False,
) -> None:
    """Measure latency, throughput and memory on the devices of this machine or cluster."""
    from results import load_run, write_results
    from results.latency import write_profile
    from search.profiling import ProfileOptions, measure, to_measure
    from search.study.errors import writing

    options = ProfileOptions(
        networks=networks, batch_size=batch_size, seconds=seconds, compile=compile
    )
    console, chosen = console_of(as_json), to_measure(what, options)
    rows, silent = measure(chosen, options, address)
    for line in silent:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    folder = chosen[0].run
    if folder is not None and rows:
        with writing(folder, "report"):
            write_profile(folder, rows)
            write_results(load_run(folder))
    _show(rows, console)
    if folder is not None and rows:
        console.print(
            f"Kept in {folder / 'profile.json'}, profile.csv and report.html.", soft_wrap=True
        )
    if as_json:
        print(json.dumps(rows))
    if not rows:
        sys.exit(1)


def _show(rows: list[Row], console: Console) -> None:
    """A table a device, and what it comes to."""
    from results.latency import device_text, said_of

    def device(row: Row) -> tuple[Any, ...]:
        return row["host"], row["device"], row["name"], row["threads"], row["batch_size"]

    for (host, *_, batch), found in groupby(sorted(rows, key=device), device):
        these = sorted(found, key=lambda row: row["flops"])
        console.print(
            f"{host}, {device_text(these[0])}: latency of one image, median and 95 %; throughput "
            f"and memory at a batch of {batch}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for row in these:
            console.print(_line(row), markup=False, highlight=False, soft_wrap=True)
        if len(these) > 1:
            for line in said_of(these):
                console.print(line, markup=False, highlight=False, soft_wrap=True)


def _line(row: Row) -> str:
    from results.latency import duration_ms
    from results.words import format_count, scaled

    name = "  " if row["trial"] is None else f"  trial {row['trial']}: "
    low, high = (duration_ms(row[end]) for end in ("low", "high"))
    return (
        f"{name}{format_count(row['flops'])} FLOPs, {duration_ms(row['seconds'])} ({low} to "
        f"{high}), {scaled(row['images_per_second'])} images/s, {scaled(row['peak_bytes'])}B"
    )
