"""Which trial of which run is meant: `RUN TRIAL`, `RUN:TRIAL` or `RUN:best`."""

from __future__ import annotations

from pathlib import Path

from results import Run, load_run
from results.words import counted, metric_name
from space.rules import show

BEST = "best"
MOST_DIGITS = 12


def read_trial(run: str, trial: str | None) -> tuple[Run, int, str]:
    """The run, the trial's number and, for `best`, a sentence that says which one that is.

    Raises ValueError if no trial is named or it is no number.
    """
    folder, name = run, trial
    if trial is None:
        folder, colon, name = run.rpartition(":")
        if not colon or Path(run).exists():
            raise ValueError(
                f"`TRIAL` must name a member of the frontier of {run!r}, but got none: give its "
                f"number or best, as {run} best or {run}:best."
            )
    loaded = load_run(Path(folder))
    if name == BEST:
        return _best(loaded)
    if name is None or not (name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS):
        raise ValueError(
            f"`TRIAL` must be the number of a trial, or best, but got {show(name)}: `vit-frontier "
            f"status {folder}` lists them."
        )
    return loaded, int(name), ""


def _best(run: Run) -> tuple[Run, int, str]:
    """The network with the highest confirmed mean, else the member of the frontier with the highest
    validation accuracy."""
    if not run.front:
        raise ValueError(
            f"The run {str(run.path)!r} must have a frontier to have a best member, but no trial "
            f"was trained to the end: go on with it by `vit-frontier resume {run.path}`."
        )
    confirmed = run.confirmed.best if run.confirmed is not None else None
    if confirmed is not None:
        count = counted(len(confirmed.trainings), "training")
        trial, mean = confirmed.record.trial, confirmed.mean
        return (
            run,
            trial,
            f"The best is trial {trial}, by its confirmed mean of {mean:.4f} ({count}).",
        )
    best = run.front[-1]
    name = metric_name(run.metric)
    why = (
        f"Taken for the best is trial {best.trial}, by its validation {name} of "
        f"{best.accuracy:.4f}, which is not confirmed: `vit-frontier confirm {run.path}` trains "
        "the frontier again."
    )
    return run, best.trial, why
