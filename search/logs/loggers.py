"""Loggers of others, fed by the events of a run: each trial is a run of theirs. All work offline.

An adapter is told started, epoch and an end; what it keeps lies in the run folder, unless their own
environment variables say otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

MODULES = {
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}
"""By logger, the module that it takes: TensorBoard's comes with Ray Tune, the others by the extra
of this package that has the logger's name."""

ENDS = ("finished", "stopped", "failed", "released")


class Logger(Protocol):
    """One adapter."""

    def tell(self, event: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


def require(names: Sequence[str]) -> None:
    """Raises ValueError naming the extra of a logger that is not installed."""
    for name in names:
        if find_spec(MODULES[name]) is None:
            raise ValueError(
                f"`--log` (={name}) must be installed: "
                f"`pip install 'vit-frontier[{name}]'`, or leave it out."
            )


def opened(name: str, folder: Path, of: str) -> Logger:
    """The adapter of that name, for the run in `folder`."""
    adapters: dict[str, Callable[[Path, str], Logger]] = {
        "tensorboard": TensorBoard, "wandb": Wandb, "mlflow": MLflow, "trackio": Trackio,
    }  # fmt: skip
    return adapters[name](folder, of)


class TensorBoard:
    """Event files in `tensorboard/` of the run folder, a folder a trial."""

    def __init__(self, folder: Path, of: str) -> None:
        from tensorboardX import SummaryWriter

        self._folder, self._writer = folder / "tensorboard" / of, SummaryWriter
        self._open: dict[int, Any] = {}

    def tell(self, event: Mapping[str, Any]) -> None:
        trial = event["trial"]
        if event["event"] == "epoch":
            if trial not in self._open:
                self._open[trial] = self._writer(str(self._folder / f"trial-{trial}"))
            for name, value in _numbers(event):
                self._open[trial].add_scalar(name, value, event["epoch"])
            self._open[trial].flush()
        elif event["event"] in ENDS and trial in self._open:
            self._open.pop(trial).close()

    def close(self) -> None:
        for writer in self._open.values():
            writer.close()


class MLflow:
    """Runs of an experiment named like the run folder, in `mlflow.db` there or where
    MLFLOW_TRACKING_URI says."""

    def __init__(self, folder: Path, of: str) -> None:
        from mlflow import MlflowClient

        here = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or here)
        name = f"{folder.resolve().name}-{of}"
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._runs: dict[int, str] = {}

    def tell(self, event: Mapping[str, Any]) -> None:
        trial, kind = event["trial"], event["event"]
        if kind == "started":
            name = f"trial {trial}"
            run = self._client.create_run(self._experiment, run_name=name)
            self._runs[trial] = run.info.run_id
            for key, value in _config(event).items():
                self._client.log_param(run.info.run_id, key, str(value)[:500])
        elif trial in self._runs and kind == "epoch":
            for name, value in _numbers(event):
                self._client.log_metric(self._runs[trial], name, value, step=event["epoch"])
        elif trial in self._runs and kind in ENDS:
            status = {"finished": "FINISHED", "failed": "FAILED"}.get(kind, "KILLED")
            self._client.set_terminated(self._runs.pop(trial), status)

    def close(self) -> None:
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")


class _AtItsEnd:
    """A logger that has one run at a time: a trial is told as a whole, when it ends."""

    def __init__(self, folder: Path, of: str) -> None:
        self._folder, self._group = folder, f"{folder.resolve().name}-{of}"
        self._told: dict[int, list[Mapping[str, Any]]] = {}

    def tell(self, event: Mapping[str, Any]) -> None:
        self._told.setdefault(event["trial"], []).append(event)
        if event["event"] in ENDS:
            events = self._told.pop(event["trial"])
            config = next((_config(e) for e in events if e["event"] == "started"), {})
            epochs = [e for e in events if e["event"] == "epoch"]
            self._write(event["trial"], config | {"state": event["event"]}, epochs)

    def _write(self, trial: int, config: dict[str, Any], epochs: list[Mapping[str, Any]]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


class Wandb(_AtItsEnd):
    """Runs of a group, offline in `wandb/` of the run folder unless WANDB_MODE says otherwise;
    `wandb sync` uploads them."""

    def _write(self, trial: int, config: dict[str, Any], epochs: list[Mapping[str, Any]]) -> None:
        import wandb

        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "vit-frontier"),
            group=self._group,
            name=f"trial {trial}",
            dir=str(self._folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=config,
            settings=wandb.Settings(silent=True, console="off"),
        )
        for epoch in epochs:
            run.log(dict(_numbers(epoch)), step=epoch["epoch"])
        run.finish()


class Trackio(_AtItsEnd):
    """Runs of a project named like the run folder, on this machine; `trackio show` draws them."""

    def _write(self, trial: int, config: dict[str, Any], epochs: list[Mapping[str, Any]]) -> None:
        import trackio

        trackio.init(project=self._group, name=f"trial {trial}", config=config)
        for epoch in epochs:
            trackio.log(dict(_numbers(epoch)), step=epoch["epoch"])
        trackio.finish()


def _numbers(event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What is drawn of an epoch."""
    for name, value in event.items():
        if name not in ("trial", "epoch") and isinstance(value, int | float):
            yield name, float(value)


def _config(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial is, of the event of its start."""
    return {k: v for k, v in event.items() if k not in ("time", "of", "event", "trial")}
