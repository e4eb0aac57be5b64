"""Jobs worked off on Ray: connected to it, trained, the test split read.

A search and a confirmation come through here.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cluster import quirks
from search.cluster.checkpoint import forget_run, run_word
from search.cluster.connect import (
    connected,
    describe_room,
    few_bytes_for_ray,
    trial_resources,
    workers,
)
from search.cluster.ending import end_process, told_of_loss
from search.cluster.finalists import measure_test_accuracy, start_reader
from search.cluster.lost import head_watched
from search.cluster.sharing import for_workers
from search.logs.events import events_told
from search.settings import SearchSettings
from search.study import quirks as optuna_quirks
from search.study.errors import StorageError
from search.study.jobs import Jobs
from search.study.patience import Patience
from search.study.run_folder import read_search
from search.terminal.display import Display

if TYPE_CHECKING:
    from search.cluster.tune import InTurn
    from trainers import Dataset, Donor, Recipe
    from trainers.lessons import Logits
    from trainers.teacher import Teacher

DISK_SECONDS = 10.0  # between two looks at the disk of Ray's session


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What jobs are trained on, and how. `weights`: the folder that they are kept in; `donor`: the
    pretrained network that they begin as; `teacher`: what they learn from; `is_process`: a loss of
    Ray ends the process with a sentence, else it raises."""

    folder: Path
    settings: SearchSettings
    dataset: Dataset
    recipe: Recipe
    weights: Path
    train: Any = None
    donor: Donor | None = None
    teacher: Teacher | Logits | None = None
    is_process: bool = False


def work_off(
    work: Work, jobs: Jobs, display: Display, patience: Patience, order: Callable[[], InTurn]
) -> bool:
    """Trains what `jobs` has, then reads the test split; whether it was interrupted. `order`: makes
    the scheduler, once Ray is there. Raises StorageError, ValueError, ClusterLostError."""
    settings = work.settings
    display.note("Starting Ray ...")
    wanted = math.ceil((settings.workers or 0) * settings.cpus_per_trial)
    with (
        _on_loss(work, jobs, display, patience) as on_loss,
        connected(settings.address, least_cpus=wanted),
        head_watched(on_loss),
    ):
        display.note("")
        for unknown in [*optuna_quirks.check(), *quirks.check()]:
            display.say(unknown)
        # What a trial takes stays, whatever machines join.
        settings = replace(settings, gpus_per_trial=trial_resources(settings)["gpu"])
        display.say(describe_room(settings))
        dataset = for_workers(work.dataset, display.say)
        work = replace(work, settings=settings, dataset=dataset)
        kind = "search" if jobs.goes_on_by == "resume" else jobs.goes_on_by
        with events_told(work.folder, kind, settings.loggers, display.say) as jobs.on_event:
            interrupted, reader = train(work, jobs, display, patience, order(), on_loss=on_loss)
        if jobs.tested() and not interrupted:
            display.note("Reading the test split ...")
            measure_test_accuracy(work.weights, settings, jobs, dataset, reader, display.say)
        display.note("")
    return interrupted


def _on_loss(
    work: Work, jobs: Jobs, display: Display, patience: Patience
) -> AbstractContextManager[Callable[[str], None]]:
    """What is called with what was lost of Ray, in whichever thread finds out."""
    if work.is_process:
        return nullcontext(partial(end_process, work.folder, jobs, display, patience))
    there = work.settings.on_this_machine
    return told_of_loss(work.folder, patience, elsewhere=not there, by=jobs.goes_on_by)


class _Between:
    """What the driver does between two steps of Tune: draws, looks at the disk, and starts the
    `reader` of the test split in time."""

    def __init__(self, settings: SearchSettings, jobs: Jobs, display: Display) -> None:
        self._settings, self._jobs, self._display = settings, jobs, display
        self._on_gpu = bool(trial_resources(settings)["gpu"])
        self._looked, self._full = time.monotonic(), False
        self.reader: Any = None

    def __call__(self) -> None:
        self._display.update()
        if not self._full and time.monotonic() - self._looked > DISK_SECONDS:
            self._looked, why = time.monotonic(), few_bytes_for_ray()
            self._full = why is not None
            if self._full:
                self._display.say(f"Workers may not be able to start: {why}.")
        # While the last trials train, one worker has none; where there is but one, beside it. A
        # GPU that it held would be missing if one of them had to be trained again.
        if self.reader is not None or self._on_gpu or self._jobs.remaining:
            return
        with contextlib.suppress(OSError):
            if len(self._jobs.live) < max(2, workers(self._settings)):
                self.reader = start_reader(self._settings)


def train(
    work: Work,
    jobs: Jobs,
    display: Display,
    patience: Patience,
    scheduler: InTurn,
    *,
    on_loss: Callable[[str], None],
) -> tuple[bool, Any]:
    """Trains; whether it was interrupted, and the reader of the test split if it was started."""
    from search.cluster.recorder import Recorder
    from search.cluster.tune import Stop, train_all

    settings = work.settings
    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit
    stop = Stop(jobs, deadline)
    patience.interrupted = lambda: stop.interrupted
    between = _Between(settings, jobs, display)
    recorder = Recorder(
        jobs,
        stop,
        weights=work.weights,
        batch_size=work.recipe.batch_size,
        silence=settings.silence,
        starting=lambda: scheduler.starting,
        on_finished=display.finished,
        on_step=between,
        say=display.say,
    )
    run = run_word(read_search(work.folder))
    options = {
        "dataset": work.dataset,
        "recipe": work.recipe,
        "train": work.train,
        "donor": work.donor,
        "teacher": work.teacher,
        "metric": settings.metric,
        "run": run,
    }
    try:
        with _signals(stop, display.stopping):
            train_all(settings, jobs, scheduler, recorder, stop, options)
    except Exception as error:
        if not quirks.is_of_ray(error):
            go_on = f"vit-frontier {jobs.goes_on_by} {work.folder}"
            error.add_note(f"Nothing finished is lost; go on by: {go_on}")
            raise
        on_loss(f"Ray on this machine was lost ({error})")
    finally:
        with contextlib.suppress(StorageError):
            jobs.release_all()
    if not jobs.remaining:
        forget_run(run)
    if stop.failure is not None:
        raise stop.failure
    return stop.interrupted, between.reader


@contextlib.contextmanager
def _signals(stop: Any, stopping: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop the search cleanly; a second Ctrl-C at once.
    `stopping` says so."""

    def ask_to_stop(number: int, frame: Any) -> None:
        if stop.interrupted and number == signal.SIGINT:
            sys.exit(130)
        if not stop.interrupted:
            stop.interrupted = True
            stopping()

    kinds = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        kinds.append(signal.SIGHUP)
    try:
        before = {kind: signal.signal(kind, ask_to_stop) for kind in kinds}
    except ValueError:  # not the main thread: the caller handles signals
        yield
        return
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
