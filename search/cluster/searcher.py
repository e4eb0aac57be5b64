"""The ledger as Ray Tune sees it: a `Searcher` that proposes and a `Callback` that records."""

from __future__ import annotations

import errno
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from results import Epoch, TrialRecord
from results.replace import replace_file
from search.cluster.connect import died_alone
from search.cluster.worker import WEIGHTS
from search.study.ledger import Ledger
from search.study.storage import StorageError, writing

STEP_SECONDS = 5.0  # the driver itself stood still if its steps are further apart
ROOM_SECONDS = 2.0  # between two looks at how large the cluster is
LOST_SECONDS = 5.0  # after a worker died, until it is clear whether its machine did
STARTING_SECONDS = 1.0  # between two looks for workers that have not begun their trial
MACHINE_SIGNS = (
    "node was terminated",
    "node died",
    "node has died",
    "Failed to retrieve object",  # a result that went with its machine
)
MEMORY_SIGN = "running low on memory"
NO_MEMORY = (
    "Ray killed the worker, also with half batches, as its machine ran low on memory: fewer "
    "--workers leave more to each"
)
UNSTARTED_SIGNS = (
    "worker startup repeatedly failed",
    "Failed to startup worker",
    "raised in its creation task",  # what the worker does first: imports, the images
)
UNSTARTED_WORKERS = 3  # that many in a row stop the run; Ray has tried five times for each


def take_all_losses_for_lost_workers() -> None:
    """Has Tune hear of a worker that Ray killed for want of memory, or of a result that was lost
    with its machine, as of any lost worker; it takes them for its own fault and ends the search."""
    from ray.air.execution._internal.actor_manager import RayActorManager

    lost = RayActorManager._actor_task_failed

    def heard(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(
            exception, (RayActorError, RayTaskError)
        )
        lost(
            manager,
            tracked_actor_task,
            exception if known else RayActorError(error_msg=str(exception)),
        )

    if lost.__name__ != heard.__name__:  # not twice
        RayActorManager._actor_task_failed = heard


class StudySearcher(Searcher):
    """Asks the ledger, at most `workers()` trials at a time. The study is the state: nothing is
    saved or restored here."""

    def __init__(
        self,
        ledger: Ledger,
        workers: Callable[[], int],
        stop: Stop,
        judge_lost_workers: Callable[[], None],
    ) -> None:
        super().__init__()  # with a metric, Tune would refuse the result of a training that failed
        self._ledger, self._workers, self._stop = ledger, workers, stop
        self._judge_lost_workers = judge_lost_workers
        self._room, self._asked = 0, -math.inf

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # While nothing runs, Tune does nothing but ask here, for up to ten minutes.
        self._judge_lost_workers()
        if self._stop.stop_all():
            return Searcher.FINISHED
        if time.monotonic() - self._asked > ROOM_SECONDS:
            self._room, self._asked = self._workers(), time.monotonic()
        if len(self._ledger.live) >= self._room:
            return None
        live = None
        with self._stop.on_failure():
            live = self._ledger.ask()
        if live is None:
            # Running trials may yet be handed back, if their machine dies.
            return Searcher.FINISHED if not self._ledger.live else None
        return {
            "trial": live.trial.number,
            "architecture": live.architecture.to_dict(),
            "flops": live.flops,
            "seed": live.seed,
            "baseline": live.baseline is not None,
            "parts": live.parts,
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
    """Ends the search when asked to, when time is up, when the ledger has a reason, or when the run
    cannot be written any more: `failure`."""

    def __init__(self, ledger: Ledger, deadline: float | None) -> None:
        self._ledger, self._deadline = ledger, deadline
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
            or self._ledger.stop_reason is not None
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


class Recorder(Callback):
    """Writes what Tune reports into the ledger and tells `on_finished`; `on_step` runs between."""

    def __init__(
        self,
        ledger: Ledger,
        stop: Stop,
        *,
        weights: Path,
        silence: float,
        starting: Callable[[], Mapping[int, Any]],
        on_finished: Callable[[TrialRecord], None],
        on_step: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """`silence`: seconds without a report after which a worker is taken to hang; `starting`:
        the actors of trials that have not begun, which count as silent from then on; `say`: is
        told in a sentence what befell a trial that is no fault of its own."""
        self._ledger, self._stop, self._weights = ledger, stop, weights
        self._silence, self._starting = silence, starting
        self._on_finished, self._on_step, self._say = on_finished, on_step, say
        self._last: dict[int, dict[str, Any]] = {}
        self._heard: dict[int, float] = {}  # running trial -> when it began or last reported
        self._hung: set[int] = set()
        self._unstarted = 0  # workers in a row
        # trial -> when its worker was lost, the actor's id and Ray's words
        self._lost: dict[int, tuple[float, str | None, str]] = {}
        self._stepped = math.inf
        self._looked = -math.inf

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = time.monotonic()
        if now - self._stepped > STEP_SECONDS:  # nobody could be heard, so nobody was silent
            self._heard = dict.fromkeys(self._heard, now)
        self._stepped = now
        self._hear_of_starting(now)
        self._kill_hung_workers(trials)
        self.judge_lost_workers()
        self._on_step()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._heard[trial.config["trial"]], self._unstarted = time.monotonic(), 0

    def _hear_of_starting(self, now: float) -> None:
        """Takes note of trials whose worker is starting, or has finished another one and is handed
        them: they have not begun until it answers, and it may hang by then."""
        if now - self._looked > STARTING_SECONDS:
            self._looked = now
            for number in self._starting():
                self._heard.setdefault(number, now)

    def _kill_hung_workers(self, trials: list[Any]) -> None:
        late = time.monotonic() - self._silence
        hung = {n for n, heard in self._heard.items() if heard < late and n not in self._hung}
        for trial in trials if hung else ():
            number = trial.config["trial"]
            actor = trial.temporary_state.ray_actor or self._starting().get(number)
            if number in hung and actor is not None:
                self._hung.add(number)
                ray.kill(actor)  # Tune then reports an error of the trial

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        number = trial.config["trial"]
        self._heard[number] = time.monotonic()
        if number not in self._ledger.live:
            return
        # Popped, so that Tune does not keep the weights of every trial.
        kept = {key: result.get(key) for key in ("failed", "error", "traceback", "finished")}
        self._last[number] = kept | {WEIGHTS: result.pop(WEIGHTS, None)}
        self._ledger.live[number].worker = f"{result.get('hostname', '')}:{result.get('pid', '')}"
        if result.get("started_anew"):
            self._ledger.live[number].curve.clear()
        if result.get("epoch") is not None:
            self._ledger.report(number, Epoch.from_report(result).to_attr())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _forget_statistics(trial)
        with self._stop.on_failure():
            self._record(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _forget_statistics(trial)
        with self._stop.on_failure():
            self._record_error(trial)

    def _record(self, trial: Any) -> None:
        number = trial.config["trial"]
        self._heard.pop(number, None)
        if number not in self._ledger.live:
            return
        last = self._last.pop(number, {})
        if last.get("failed"):
            record = self._ledger.fail(
                number, kind=last["failed"], error=last["error"], traceback=last["traceback"] or ""
            )
        elif last.get("finished"):
            self._keep_weights(number, last[WEIGHTS])
            record = self._ledger.complete(number)
            self._drop_dominated_weights()
        elif self._stop.stop_all() or not self._ledger.live[number].curve:
            self._ledger.release(number)
            return
        else:
            record = self._ledger.stop(number)
        self._on_finished(record)

    def _record_error(self, trial: Any) -> None:
        number = trial.config["trial"]
        self._heard.pop(number, None)
        if number not in self._ledger.live:
            return
        self._last.pop(number, None)
        error, reason, actor_id = _read_error(trial)
        if number in self._hung:
            self._fail(number, "hang", f"no report for {self._silence:g} s: the worker was killed")
        elif any(sign in error for sign in MACHINE_SIGNS):
            self._run_again(number, "its machine was lost")
        elif any(sign in error for sign in UNSTARTED_SIGNS):
            self._note_unstarted(number, reason)
        elif MEMORY_SIGN in error and self._ledger.live[number].parts == 1:
            self._run_again(number, "its worker was killed as memory ran low; now half batches", 2)
        elif MEMORY_SIGN in error:
            self._fail(number, "out_of_memory", NO_MEMORY)
        else:
            self._lost[number] = time.monotonic(), actor_id, reason or "the worker died"

    def judge_lost_workers(self) -> None:
        """A worker that died alone failed; one whose machine died with it runs again. The two are
        told apart a little later, since a dying machine may lose its workers first."""
        for number, (lost, actor_id, error) in list(self._lost.items()):
            if time.monotonic() - lost < LOST_SECONDS:
                continue
            del self._lost[number]
            with self._stop.on_failure():
                if died_alone(actor_id):
                    self._fail(number, "crash", error)
                else:
                    self._run_again(number, "its machine was lost")

    def _note_unstarted(self, number: int, reason: str) -> None:
        self._run_again(number, f"no worker could start for it ({reason})")
        self._unstarted += 1
        nothing_runs = self._heard.keys() <= self._starting().keys()
        if self._unstarted >= UNSTARTED_WORKERS and nothing_runs and not self._stop.stop_all():
            self._ledger.stop_reason = (
                f"{UNSTARTED_WORKERS} workers in a row could not start ({reason}). Either the "
                "machine is too busy (RAY_worker_register_timeout_seconds, set where Ray is "
                "started, gives them longer), or its Python cannot import ray or this package "
                "(`vit-frontier doctor` looks). Mend that, then resume"
            )

    def _run_again(self, number: int, why: str, parts: int = 1) -> None:
        self._ledger.release(number, parts=parts)
        if not self._stop.stop_all():
            self._say(f"The network of trial {number} is trained again: {why}.")

    def _fail(self, number: int, kind: str, error: str) -> None:
        self._on_finished(self._ledger.fail(number, kind=kind, error=error))

    def _keep_weights(self, number: int, weights: Any) -> None:
        if weights is None:
            return
        target = self._weights / f"{number}.safetensors"
        with writing(self._weights.parent):
            self._weights.mkdir(exist_ok=True)
            if self._weights.is_symlink():
                raise OSError(errno.ELOOP, "a link out of the run folder", str(self._weights))
            replace_file(target, memoryview(weights))

    def _drop_dominated_weights(self) -> None:
        members = {record.trial for record in self._ledger.front}
        trained = {record.trial for record in self._ledger.finished}
        with writing(self._weights.parent):
            for file in self._weights.glob("*.safetensors"):
                if file.stem.isdecimal() and int(file.stem) in trained - members:
                    file.unlink(missing_ok=True)


def _forget_statistics(trial: Any) -> None:
    """Tune keeps every trial to the end of the search, most of it the last values, extremes and
    means of each number in its results, which nobody asks for."""
    trial.metric_analysis.clear()
    trial.metric_n_steps.clear()


def _read_error(trial: Any) -> tuple[str, str, str | None]:
    """What Ray says of a lost worker: all of it; in short, without ids, which would make two alike
    look different, or the last line of a traceback; and, if its process died, its actor's id."""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8").partition("\n")[2]
    except (OSError, TypeError):
        return "", "", None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    actor = re.search(r"\bactor(?:_id:)? ([0-9a-f]{32})\b", text)
    if any(re.match(r'File ".*", line \d+', line) for line in lines):
        reason, actor = lines[-1], None
    else:
        reason = " ".join(line for line in lines if not re.fullmatch(r"[\w ]+: \S+", line))
    reason = re.sub(r"\b[0-9a-f]{16,}\b", "...", reason)[:400]
    return text, reason, actor[1] if actor else None
