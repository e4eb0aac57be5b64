"""What Ray Tune reports, written into the study: epochs, ends, and what became of lost workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback

from results import Epoch, TrialRecord
from search.cluster import quirks
from search.cluster.lost import died_alone, read_error
from search.cluster.tune import Stop
from search.cluster.worker import WEIGHTS, batches_in
from search.study.jobs import Jobs
from search.study.run_folder import drop_weights, keep_weights
from trainers import CaptureError
from trainers.recipe import more_parts

STEP_SECONDS = 5.0  # the driver itself stood still if its steps are further apart
LOST_SECONDS = 5.0  # after a worker died, until it is clear whether its machine did
STARTING_SECONDS = 1.0  # between two looks for workers that have not begun their trial
NO_MEMORY = (
    "Ray killed the worker, also with smaller batches, as its machine ran low on memory: fewer "
    "--workers leave more to each"
)
WORKER_DIED = "its worker died (killed, out of memory, or a crash of its libraries)"
UNSTARTED_WORKERS = 3  # that many in a row stop the run; Ray has tried five times for each


class Recorder(Callback):
    """Writes what Tune reports into the study and tells `on_finished`; `on_step` runs between."""

    def __init__(
        self,
        jobs: Jobs,
        stop: Stop,
        *,
        weights: Path,
        batch_size: int,
        silence: float,
        starting: Callable[[], Mapping[int, Any]],
        on_finished: Callable[[TrialRecord], None],
        on_step: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """`silence`: seconds without a report after which a worker is taken to hang; `starting`:
        actors of trials that have not begun; `say`: is told what befell a trial that is no fault of
        its own."""
        # Those of `starting` count as silent from when they are there.
        self._jobs, self._stop, self._weights = jobs, stop, weights
        self._batch_size = batch_size
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
        # What is starting is as of Tune's last choice: a worker lost since then has not begun.
        if now - self._looked > STARTING_SECONDS:
            self._looked = now
            for number in self._starting().keys() & (self._jobs.live.keys() - self._lost.keys()):
                self._heard.setdefault(number, now)

    def _kill_hung_workers(self, trials: list[Any]) -> None:
        late = time.monotonic() - self._silence
        hung = {n for n, heard in self._heard.items() if heard < late and n not in self._hung}
        for trial in trials if hung else ():
            number = trial.config["trial"]
            actor = quirks.actor_of(trial) or self._starting().get(number)
            if number in hung and actor is not None:
                self._hung.add(number)
                ray.kill(actor)  # Tune then reports an error of the trial

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        number = trial.config["trial"]
        self._heard[number] = time.monotonic()
        if number not in self._jobs.live:
            return
        # Popped, so that Tune does not keep the weights of every trial.
        kept = {key: result.get(key) for key in ("failed", "error", "traceback", "finished")}
        self._last[number] = kept | {WEIGHTS: result.pop(WEIGHTS, None)}
        self._jobs.live[number].worker = f"{result.get('hostname', '')}:{result.get('pid', '')}"
        if result.get("started_anew"):
            self._jobs.live[number].curve.clear()
        if result.get("kept"):
            self._take_kept(number, result)
        if result.get("epoch") is not None:
            self._jobs.report(number, Epoch.from_report(result).to_attr())

    def _take_kept(self, number: int, result: dict[str, Any]) -> None:
        """An epoch that was trained before the training was interrupted, told again."""
        self._jobs.live[number].began -= result["seconds"]
        if result["epoch"] == 1:
            self._say(f"The training of trial {number} goes on after epoch {result['kept']}.")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        quirks.forget_statistics(trial)
        with self._stop.on_failure():
            self._record(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        quirks.forget_statistics(trial)
        with self._stop.on_failure():
            self._record_error(trial)

    def _record(self, trial: Any) -> None:
        number = trial.config["trial"]
        self._heard.pop(number, None)
        if number not in self._jobs.live:
            return
        last = self._last.pop(number, {})
        if last.get("failed"):
            record = self._jobs.fail(
                number, kind=last["failed"], error=last["error"], traceback=last["traceback"] or ""
            )
        elif last.get("finished"):
            if last[WEIGHTS] is not None:
                keep_weights(self._weights, number, last[WEIGHTS])
            record = self._jobs.complete(number)
            self._drop_dominated_weights()
        elif self._stop.stop_all() or not self._jobs.live[number].curve:
            self._jobs.release(number)
            return
        else:
            record = self._jobs.stop(number)
        self._on_finished(record)

    def _record_error(self, trial: Any) -> None:
        number = trial.config["trial"]
        self._heard.pop(number, None)
        if number not in self._jobs.live:
            return
        self._last.pop(number, None)
        error, reason, actor_id = read_error(trial)
        meaning = quirks.meaning(error)
        if number in self._hung:
            self._fail(number, "hang", f"no report for {self._silence:g} s: the worker was killed")
        elif meaning == "machine":
            self._run_again(number, "its machine was lost")
        elif meaning == "unstarted":
            self._note_unstarted(number, reason)
        elif CaptureError.__name__ in error:
            self._run_again(number, "no CUDA graph could be made of it; now without", eager=True)
        elif meaning == "memory":
            parts = more_parts(self._jobs.live[number].parts, self._batch_size)
            why = "its worker was killed as memory ran low; now"
            if parts is None:
                self._fail(number, "out_of_memory", NO_MEMORY)
            else:
                self._run_again(number, f"{why} {batches_in(parts)}", parts)
        else:
            short = reason if actor_id is None else WORKER_DIED
            self._lost[number] = time.monotonic(), actor_id, short or WORKER_DIED

    def judge_lost_workers(self) -> None:
        """A trial whose worker died alone runs again once; one whose machine died with it as often
        as that happens. The two are told apart a little later, since a dying machine may lose its
        workers first."""
        for number, (lost, actor_id, error) in list(self._lost.items()):
            if time.monotonic() - lost < LOST_SECONDS:
                continue
            del self._lost[number]
            with self._stop.on_failure():
                if died_alone(actor_id):
                    self._note_crash(number, actor_id, error)
                else:
                    self._run_again(number, "its machine was lost")

    def _note_crash(self, number: int, actor_id: str | None, error: str) -> None:
        """A process that died may have been killed by chance: the second time it is the trial's.
        One that ended itself (`actor_id` None: an error of its GPU) is tried no second time."""
        if actor_id is not None and not self._jobs.live[number].crashes:
            self._jobs.release(number, crashed=True)
            if not self._stop.stop_all():
                self._say(f"The network of trial {number} is trained again: {error}.")
            return
        self._fail(number, "crash", error if actor_id is None else f"{error}, twice")

    def _note_unstarted(self, number: int, reason: str) -> None:
        self._run_again(number, f"no worker could start for it ({reason})")
        self._unstarted += 1
        nothing_runs = self._heard.keys() <= self._starting().keys()
        if self._unstarted >= UNSTARTED_WORKERS and nothing_runs and not self._stop.stop_all():
            self._jobs.stop_reason = (
                f"{UNSTARTED_WORKERS} workers in a row could not start ({reason}). Either the "
                "machine is too busy (RAY_worker_register_timeout_seconds, set where Ray is "
                "started, gives them longer), or its Python cannot import ray or this package "
                "(`vit-frontier doctor` looks). Mend that, then resume"
            )

    def _run_again(self, number: int, why: str, parts: int = 1, *, eager: bool = False) -> None:
        self._jobs.release(number, parts=parts, eager=eager)
        if not self._stop.stop_all():
            self._say(f"The network of trial {number} is trained again: {why}.")

    def _fail(self, number: int, kind: str, error: str) -> None:
        self._on_finished(self._jobs.fail(number, kind=kind, error=error))

    def _drop_dominated_weights(self) -> None:
        trained = {record.trial for record in self._jobs.finished}
        drop_weights(self._weights, trained - self._jobs.kept())
