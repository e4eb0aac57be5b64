"""From `vit-frontier profile` to rows: which networks, measured on which machines."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from results import Run, TrialRecord, load_run
from results.latency import Row
from space import Architecture, count_flops
from space.rules import check_fields, flag, integer, number

SECONDS_BESIDE = 30.0  # of a network: to build, warm up, compile


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """How networks are measured. `networks`: at least so many of a run, members of the frontier
    and baselines first; `seconds`: of timing. Raises ValueError."""

    batch_size: Annotated[int, integer(1, 10**6)] = 64
    networks: Annotated[int, integer(1, 10**5)] = 24
    seconds: Annotated[float, number(above=0.0, high=3600.0)] = 1.0
    compile: Annotated[bool, flag()] = False

    def __post_init__(self) -> None:
        check_fields(self, option=True, fix="choose one of these")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A network to be measured: which trial of which run it is, if it is one."""

    architecture: Architecture
    trial: int | None = None
    run: Path | None = None


def to_measure(text: str, options: ProfileOptions) -> list[Measured]:
    """The networks of a run folder, or the one that a name, file or RUN:TRIAL is. Raises
    ValueError."""
    if (Path(text) / "run.json").exists():
        run = load_run(text)
        chosen = _chosen(run, options.networks)
        if not chosen:
            raise ValueError(
                f"The run {text!r} must have a trial that was trained to the end, but has none: go "
                f"on with it by `vit-frontier resume {text}`."
            )
        return [Measured(architecture=r.architecture, trial=r.trial, run=run.path) for r in chosen]
    from search.commands.networks import read_network
    from search.commands.trial_names import read_trial

    network = read_network(text)
    if not network.of_run:
        return [Measured(architecture=network.architecture)]
    run, trial, _ = read_trial(text, None)
    return [Measured(architecture=network.architecture, trial=trial, run=run.path)]


def _chosen(run: Run, least: int) -> list[TrialRecord]:
    """Members and baselines, and others evenly over log FLOPs, by FLOPs."""
    complete = sorted((r for r in run.records if r.state == "complete"), key=lambda r: r.flops)
    members = {record.trial for record in run.front}
    chosen = {r.trial: r for r in complete if r.trial in members or r.baseline is not None}
    others = [record for record in complete if record.trial not in chosen]
    count = min(len(others), max(0, least - len(chosen)))
    logs = np.log([record.flops for record in others]) if others else np.zeros(0)
    for place in np.linspace(logs.min(), logs.max(), count) if count else ():
        left = [i for i, record in enumerate(others) if record.trial not in chosen]
        nearest = others[min(left, key=lambda i: float(abs(logs[i] - place)))]
        chosen[nearest.trial] = nearest
    return sorted(chosen.values(), key=lambda record: record.flops)


def measure(
    networks: list[Measured], options: ProfileOptions, address: str | None
) -> tuple[list[Row], list[str]]:
    """Rows of every device of this machine, or of every node of the Ray cluster at `address`; and a
    sentence for every node that did not answer."""
    asked = {
        "batch_size": options.batch_size, "seconds": options.seconds, "compiled": options.compile,
    }  # fmt: skip
    values = [network.architecture.to_dict() for network in networks]
    if address is None:
        from trainers.latency import measure_all

        return _rows(networks, socket.gethostname(), measure_all(values, asked)), []
    return _on_nodes(networks, values, asked, address)


def _on_nodes(
    networks: list[Measured], values: list[Any], asked: dict[str, Any], address: str
) -> tuple[list[Row], list[str]]:
    from search.cluster.connect import connected
    from search.cluster.nodes import ask_living
    from trainers.latency import measure_all

    seconds = (SECONDS_BESIDE + 2 * asked["seconds"]) * len(values)
    rows, silent = [], list[str]()
    with connected(address):
        for host, answer in ask_living(measure_all, values, asked, seconds=seconds):
            if isinstance(answer, Exception):
                why = " ".join(str(answer).split())[:200] or type(answer).__name__
                silent.append(f"Node {host} was not measured: {why}")
            else:
                rows += _rows(networks, host, answer)
    return rows, silent


def _rows(networks: list[Measured], host: str, found: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = []
    for row in found:
        network = networks[row["network"]]
        told = {name: value for name, value in row.items() if name != "network"}
        flops = count_flops(network.architecture)
        rows.append({"trial": network.trial, "flops": flops, "host": host, **told})
    return rows
