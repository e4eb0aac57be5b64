"""One search from settings to report: run folder, study, Ray, frontier."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from results import Run, load_run, write_results
from results.words import counted
from search.cluster import quirks
from search.cluster.connect import (
    connected,
    describe_room,
    few_bytes_for_ray,
    trial_resources,
    workers,
)
from search.cluster.finalists import measure_test_accuracy, start_reader
from search.cluster.lost import head_watched
from search.cluster.sharing import for_workers
from search.decide.baselines import baselines
from search.ending import end_process, told_of_loss
from search.settings import SearchSettings
from search.study import quirks as optuna_quirks
from search.study.errors import StorageError, writing
from search.study.ledger import Ledger
from search.study.mirror import together
from search.study.patience import Patience
from search.study.run_folder import keep_trials, only_driver, read_search
from search.study.storage import open_study
from search.terminal.display import Display

if TYPE_CHECKING:
    from search.decide.early_stopping import FreezeThaw
    from search.decide.problem import Network
    from trainers import Dataset, Donor, Recipe

BASELINE_SHARE = 4  # at most one trial in four is a baseline
DISK_SECONDS = 10.0  # between two looks at the disk of Ray's session


def forget_failures(folder: Path) -> int:
    """Has the failed trials of a run asked again; how many there were."""
    description = read_search(folder)
    with only_driver(folder):
        study = open_study(folder, description["name"], description.get("storage"))
        settings = SearchSettings.from_dict({**description["settings"], "out": str(folder)})
        study.set_user_attr("stop_reason", None)
        return Ledger(study, settings).forget_failures()


def run_search(
    folder: Path,
    settings: SearchSettings,
    dataset: Dataset,
    recipe: Recipe,
    *,
    console: Console,
    train: Any = None,
    donor: Donor | None = None,
    is_process: bool = False,
) -> tuple[Run, bool]:
    """Searches until the asked number of trials is finished; the run, and whether it was
    interrupted. The run folder must exist; a study there is gone on with. `is_process`: a loss of
    Ray ends the process with a sentence, else it raises ClusterLostError."""
    with only_driver(folder):
        name = keep_trials(folder, settings.trials)
        patience = Patience(
            say=partial(console.print, markup=False, highlight=False, soft_wrap=True)
        )
        study = open_study(folder, name, settings.storage, patience)
        study.set_user_attr("finished", False)
        for reason in ("stop_reason", "ended_short"):
            study.set_user_attr(reason, None)
        ledger = Ledger(study, settings)
        if settings.baselines and not study.get_trials(deepcopy=False):
            _enqueue_baselines(ledger)
        with Display(ledger, console) as display:
            if not ledger.remaining:
                done = f"{len(ledger.finished)} of {counted(settings.trials, 'trial')}"
                display.say(f"Nothing is left to train, {done} are done: ask for more by --trials.")
            display.note("Starting Ray ...")
            wanted = math.ceil((settings.workers or 0) * settings.cpus_per_trial)
            with (
                _on_loss(folder, ledger, display, patience, is_process=is_process) as on_loss,
                connected(settings.address, least_cpus=wanted),
                head_watched(on_loss),
            ):
                display.note("")
                for unknown in [*optuna_quirks.check(), *quirks.check()]:
                    display.say(unknown)
                # What a trial takes stays, whatever machines join.
                settings = replace(settings, gpus_per_trial=trial_resources(settings)["gpu"])
                display.say(describe_room(settings))
                dataset = for_workers(dataset, display.say)
                options = {"dataset": dataset, "recipe": recipe, "train": train, "donor": donor}
                interrupted, reader = _tune(
                    folder, settings, ledger, display, patience, options, on_loss=on_loss
                )
                if ledger.front and not interrupted:
                    display.note("Reading the test split for the frontier ...")
                    measure_test_accuracy(folder, settings, ledger, dataset, reader, display.say)
                display.note("")
        study.set_user_attr("stop_reason", ledger.stop_reason)
        if not interrupted and len(ledger.finished) < settings.trials and not ledger.stop_reason:
            study.set_user_attr("ended_short", _why_short(ledger))
        study.set_user_attr("finished", not interrupted)
        with writing(folder, "report"):
            run = load_run(folder)
            write_results(run)
        return run, interrupted


def _enqueue_baselines(ledger: Ledger) -> None:
    """Has the baselines asked before the sampler is: all or none."""
    settings = ledger.settings
    ladder = baselines(
        settings.space,
        settings.budget,
        most=settings.trials // BASELINE_SHARE,
        max_params=settings.max_params,
    )
    with together(ledger.study):
        for label, network in ladder.items():
            ledger.enqueue(network, label)


def _why_short(ledger: Ledger) -> str:
    """Why fewer trials than asked for were trained though nothing went wrong."""
    trained = f"{len(ledger.finished)} of {counted(ledger.settings.trials, 'trial')}"
    if ledger.exhausted:
        return f"{trained}, since the space has no other network that fits"
    return f"{trained} when the time limit was reached; a resume goes on"


def _on_loss(
    folder: Path, ledger: Ledger, display: Display, patience: Patience, *, is_process: bool
) -> AbstractContextManager[Callable[[str], None]]:
    """What is called with what was lost of Ray, in whichever thread finds out."""
    if is_process:
        return nullcontext(partial(end_process, folder, ledger, display, patience))
    return told_of_loss(folder, patience, elsewhere=not ledger.settings.on_this_machine)


def early_stopping_rule(ledger: Ledger, recipe: Recipe) -> FreezeThaw[Network]:
    """The rule of a search, which knows what the study holds."""
    from search.decide.early_stopping import FreezeThaw

    rule = FreezeThaw(
        ledger.problem,
        ledger.network,
        reference_accuracy=ledger.settings.reference_accuracy,
        seed=ledger.settings.seed,
        max_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
    )
    rule.take_in(ledger.curves())
    return rule


class _Between:
    """What the driver does between two steps of Tune: draws, looks at the disk, and starts the
    `reader` of the test split in time."""

    def __init__(self, settings: SearchSettings, ledger: Ledger, display: Display) -> None:
        self._settings, self._ledger, self._display = settings, ledger, display
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
        if self.reader is not None or self._on_gpu or self._ledger.remaining:
            return
        with contextlib.suppress(OSError):
            if len(self._ledger.live) < max(2, workers(self._settings)):
                self.reader = start_reader(self._settings)


def _tune(
    folder: Path,
    settings: SearchSettings,
    ledger: Ledger,
    display: Display,
    patience: Patience,
    options: dict[str, Any],
    *,
    on_loss: Callable[[str], None],
) -> tuple[bool, Any]:
    """Trains; whether it was interrupted, and the reader of the test split if it was started.
    `options`: of a worker, what is trained on."""
    from search.cluster.recorder import Recorder
    from search.cluster.tune import FrontierHalving, InTurn, Stop, train_all

    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit
    stop = Stop(ledger, deadline)
    patience.interrupted = lambda: stop.interrupted
    recipe: Recipe = options["recipe"]
    scheduler = InTurn()
    if settings.early_stopping:
        scheduler = FrontierHalving(early_stopping_rule(ledger, recipe))
    between = _Between(settings, ledger, display)
    recorder = Recorder(
        ledger,
        stop,
        weights=folder / "weights",
        batch_size=recipe.batch_size,
        silence=settings.silence,
        starting=lambda: scheduler.starting,
        on_finished=display.finished,
        on_step=between,
        say=display.say,
    )
    try:
        with _signals(stop):
            train_all(settings, ledger, scheduler, recorder, stop, options)
    except Exception as error:
        if not quirks.is_of_ray(error):
            error.add_note(f"Nothing finished is lost; go on by: vit-frontier resume {folder}")
            raise
        on_loss(f"Ray on this machine was lost ({error})")
    finally:
        with contextlib.suppress(StorageError):
            ledger.release_all()
    if stop.failure is not None:
        raise stop.failure
    return stop.interrupted, between.reader


@contextlib.contextmanager
def _signals(stop: Any) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop the search cleanly; a second Ctrl-C at once."""

    def ask_to_stop(number: int, frame: Any) -> None:
        if stop.interrupted and number == signal.SIGINT:
            sys.exit(130)
        stop.interrupted = True
        with contextlib.suppress(OSError, ValueError):  # print may be what was interrupted
            os.write(sys.stderr.fileno(), b"\nStopping ...\n")

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
