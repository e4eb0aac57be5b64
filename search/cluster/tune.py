"""The study as Ray Tune sees it: a searcher that proposes, a stopper, and the order of trials."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.cluster import quirks, worker
from search.cluster.connect import trial_resources, workers
from search.settings import SearchSettings
from search.study.errors import StorageError
from search.study.jobs import Jobs

if TYPE_CHECKING:
    from search.cluster.recorder import Recorder
    from search.decide.early_stopping import Rungs

ROOM_SECONDS = 2.0  # between two looks at how large the cluster is


def train_all(
    settings: SearchSettings,
    jobs: Jobs,
    scheduler: InTurn,
    recorder: Recorder,
    stop: Stop,
    options: dict[str, Any],
) -> None:
    """Has Tune train what `jobs` has; `options`: of the worker, what is trained on."""
    quirks.take_all_losses_for_lost_workers()
    resources = trial_resources(settings)
    trainable = tune.with_parameters(
        worker.ProxyTrainable,
        threads=max(1, int(settings.cpus_per_trial)),
        gpus=resources["gpu"],
        graphs=settings.cuda_graphs,
        **options,
    )
    judge = recorder.judge_lost_workers
    scratch = tempfile.mkdtemp(prefix="vit-frontier-")
    try:
        tune.run(
            trainable,
            name="search",
            search_alg=StudySearcher(jobs, lambda: workers(settings), stop, judge),
            scheduler=scheduler,
            num_samples=-1,
            resources_per_trial=resources,
            reuse_actors=True,
            callbacks=[recorder],
            stop=stop,
            storage_path=scratch,
            verbose=0,
            raise_on_failed_trial=False,
            **quirks.TUNE_HERE,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class StudySearcher(Searcher):
    """Asks `jobs`, at most `workers()` trials at a time. The study is the state: nothing is
    saved or restored here."""

    def __init__(
        self,
        jobs: Jobs,
        workers: Callable[[], int],
        stop: Stop,
        judge_lost_workers: Callable[[], None],
    ) -> None:
        super().__init__()  # with a metric, Tune would refuse the result of a training that failed
        self._jobs, self._workers, self._stop = jobs, workers, stop
        self._judge_lost_workers = judge_lost_workers
        self._room, self._asked = 0, -math.inf

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # While nothing runs, Tune does nothing but ask here, for up to ten minutes.
        self._judge_lost_workers()
        if self._stop.stop_all():
            return Searcher.FINISHED
        if time.monotonic() - self._asked > ROOM_SECONDS:
            with suppress(OSError):  # no head, which another thread sees to
                self._room = self._workers()
            self._asked = time.monotonic()
        if len(self._jobs.live) >= self._room:
            return None
        live = None
        with self._stop.on_failure():
            live = self._jobs.ask()
        if live is None:
            # Running trials may yet be handed back, if their machine dies.
            return Searcher.FINISHED if not self._jobs.live else None
        return {
            "trial": live.trial.number,
            "architecture": live.architecture.to_dict(),
            "flops": live.flops,
            "seed": live.seed,
            "baseline": live.baseline is not None,
            "parts": live.parts,
            "eager": live.eager,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `Recorder` writes what came out, since it is told the reason of an error."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""


class Stop(Stopper):
    """Ends the search when asked to, when time is up, when the jobs have a reason, or when the run
    cannot be written any more: `failure`."""

    def __init__(self, jobs: Jobs, deadline: float | None) -> None:
        self._jobs, self._deadline = jobs, deadline
        self.interrupted = False
        self.failure: StorageError | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into the copy that Tune keeps: the study is the state."""
        return {}

    def stop_all(self) -> bool:
        return (
            self.interrupted
            or self.time_is_up
            or self._jobs.stop_reason is not None
            or self.failure is not None
        )

    @contextmanager
    def on_failure(self) -> Iterator[None]:
        """Keeps a StorageError from Tune, which would take it for the trial's."""
        try:
            yield
        except StorageError as error:
            self.failure = self.failure or error

    @property
    def time_is_up(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline


class InTurn(FIFOScheduler):
    """First in, first out, among the trials that are not over; one whose worker is still starting
    comes last. Tune's own looks through all that ever were, at every step."""

    # Tune would give a trial whose worker is starting one that has just finished another trial, and
    # end its own; where trials finish faster than workers start, none ever would.
    # A trial's config carries `trial`, its number. `starting` are the actors of trials that have
    # not begun, by number, from when Ray has had room for them.

    def __init__(self) -> None:
        super().__init__()
        self.starting: dict[int, Any] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        actors = quirks.actors_of(tune_controller)
        waiting = quirks.waiting_trials(tune_controller)
        self.starting = {
            trial.config["trial"]: actors[trial]
            for trial in waiting
            if actors.get(trial) is not None
        }
        return min(waiting, key=lambda t: (t in actors, t.config["trial"]), default=None)


class FrontierHalving(InTurn):
    """Early stopping: stops trials that `rule` gives up, but no baseline, which is there to be
    compared with."""

    # A trial's config carries `trial` (its number), `flops` and, if it is one, `baseline`. A result
    # carries `epoch` and `accuracy`; one without an epoch decides nothing. The state is the rule's,
    # which `Rungs.take_in` rebuilds after a restart: Tune saves and restores nothing.

    def __init__(self, rule: Rungs) -> None:
        super().__init__()
        self.rule = rule
        self.stopped = 0

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Whatever Tune is told to optimise: accuracy and FLOPs are what counts here."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("epoch") is None or "accuracy" not in result:
            return str(TrialScheduler.CONTINUE)
        goes_on = self.rule.report(
            trial.config["trial"],
            flops=trial.config["flops"],
            epoch=result["epoch"],
            accuracy=result["accuracy"],
        )
        if goes_on or trial.config.get("baseline"):
            return str(TrialScheduler.CONTINUE)
        self.stopped += 1
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Takes in the last epoch: Tune asks nothing about a result that ends its trial."""
        number = trial.config["trial"]
        if result.get("finished"):
            self.rule.report(
                number,
                flops=trial.config["flops"],
                epoch=result["epoch"],
                accuracy=result["accuracy"],
            )
        elif result.get("failed"):
            self.rule.forget(number)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial that broke is no one's measure."""
        self.rule.forget(trial.config["trial"])

    def debug_string(self) -> str:
        return f"{type(self).__name__}: rungs {list(self.rule.rungs)}, {self.stopped} stopped"

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""
