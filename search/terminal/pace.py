"""How long the rest of a search takes, from the FLOPs of what ran and of what is left."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from results.words import counted, duration, format_count
from search.logs.events import read_events
from space import count_flops

if TYPE_CHECKING:
    from results import Run, TrialRecord
    from search.plan import Plan
    from search.study.jobs import LiveTrial

TIMED_BATCHES = 4  # that are trained on to foresee how long a search takes
DRAWN = 200  # networks of the space, whose middle one is timed
MOST_RUNNING = 8  # trials of which `status` says how far they are
FORWARD = 1 / 3  # of a step of training: what validating an image takes


def foreseen(plan: Plan) -> str | None:
    """How long a search would take on this machine, by an epoch of a few batches of the network
    in the middle of what fits; None for a training loop of one's own. Takes seconds."""
    from trainers import proxy_epochs

    settings, recipe, data = plan.settings, plan.recipe, plan.dataset
    rng = np.random.default_rng(0)
    drawn = sorted((settings.space.sample(rng) for _ in range(DRAWN)), key=count_flops)
    fit = [network for network in drawn if count_flops(network) <= settings.budget]
    if plan.train is not None or not fit:
        return None
    middle, few = fit[len(fit) // 2], TIMED_BATCHES * recipe.batch_size
    small = dataclasses.replace(
        data, train_images=data.train_images[:few], train_labels=data.train_labels[:few],
        val_images=data.val_images[:1], val_labels=data.val_labels[:1],
    )  # fmt: skip
    twice = dataclasses.replace(recipe, epochs=max(2, recipe.epochs))
    training = proxy_epochs(middle, small, twice, seed=0, donor=plan.donor)
    next(training)  # warms up
    images = recipe.epochs * (len(data.train_labels) + FORWARD * len(data.val_labels))
    seconds = images / next(training)["images_per_second"]
    workers = settings.workers or 1
    at_once = f"by {counted(workers, 'worker')}" if settings.workers else "one at a time"
    return (
        f"Time: about {duration(seconds)} for a training of {format_count(count_flops(middle))} "
        f"FLOPs on this machine, the middle of those drawn; about "
        f"{duration(seconds * settings.trials / workers)} for {counted(settings.trials, 'trial')} "
        f"{at_once}, less where early stopping ends some."
    )


class Pace:
    """Seconds per FLOP of an epoch, over the trials of this session. `epochs`: of a whole
    training."""

    def __init__(self, *, epochs: int | None) -> None:
        self._epochs = epochs
        self._trials = self._at_once = 0
        self._work = self._seconds = 0.0  # FLOPs times epochs of what ended, and how long it took

    def finished(self, record: TrialRecord) -> None:
        """A trial ended; one that was stopped early took its part of the epochs."""
        if record.epochs and record.seconds is not None:
            self._trials += 1
            self._work += record.flops * record.epochs
            self._seconds += record.seconds
            self._epochs = self._epochs or record.epochs

    def left(self, live: Sequence[LiveTrial], remaining: int) -> float | None:
        """Seconds until the `live` trials and as many as `remaining` have ended, side by side as
        they are now; None while nobody can know."""
        self._at_once = max(self._at_once, len(live))
        done = [(t.flops, t.curve[-1]["epoch"]) for t in live if t.curve]
        work = self._work + sum(flops * epoch for flops, epoch in done)
        spent = self._seconds + sum(time.monotonic() - t.began for t in live if t.curve)
        if not work or not self._epochs or not (live or remaining):
            return None
        rate = spent / work
        rest = [
            t.flops * max(0, self._epochs - (t.curve[-1]["epoch"] if t.curve else 0)) for t in live
        ]
        # A trial to come takes what those that ended took on average, early stops among them.
        mean = self._work / self._trials if self._trials else max(rest, default=0)
        together = (sum(rest) + remaining * mean) / max(1, self._at_once)
        return rate * max(together, max(rest, default=0.0))


def running_lines(run: Run) -> Iterator[str]:
    """How far each running trial is, by events.jsonl, and how long the rest takes, by what ended:
    seen from another process."""
    running = [record for record in run.records if record.state == "running"]
    epochs = _epochs_of(run)
    of = f" of {run.full_epochs}" if run.full_epochs else ""
    for record in running[:MOST_RUNNING]:
        name = f" ({record.baseline})" if record.baseline else ""
        epoch = epochs.get(record.trial)
        state = f"epoch {epoch}{of}" if epoch else "starting"
        yield f"  trial {record.trial}{name}: {format_count(record.flops)} FLOPs, {state}"
    ended = [r for r in run.records if r.state != "running" and r.epochs and r.seconds]
    if running and ended and run.full_epochs:
        work = sum(record.flops * record.epochs for record in ended)
        rate = sum(record.seconds or 0.0 for record in ended) / work
        rest = float(sum(r.flops * (run.full_epochs - epochs.get(r.trial, 0)) for r in running))
        rest += max(0, run.trials_asked - len(run.records)) * work / len(ended)
        yield f"  about {duration(rate * rest / len(running))} left"


def _epochs_of(run: Run) -> dict[int, int]:
    """The last epoch of each trial; none where the file cannot be read."""
    try:
        events = read_events(run.path)
    except (OSError, ValueError):
        return {}
    epochs = (e for e in events if e.get("event") == "epoch" and e.get("of") == "search")
    return {event["trial"]: event["epoch"] for event in epochs}
