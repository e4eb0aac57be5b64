"""The order of trials (`InTurn`) and early stopping by a rule (`FrontierHalving`), for Ray Tune."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.decide.early_stopping import Rungs


class InTurn(FIFOScheduler):
    """First in, first out, among the trials that are not over: Tune's own looks through all that
    ever were, at every step.

    A trial whose worker is still starting comes last: Tune would give it the worker that has just
    finished another one and end its own, so that where trials finish faster than workers start, no
    further worker ever does.

    A trial's config carries `trial`, its number. `starting` are the actors of trials that have not
    begun, by number, from when Ray has had room for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.starting: dict[int, Any] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        starting = tune_controller._trial_to_actor
        there = tune_controller._actor_manager._live_actors_to_ray_actors_resources
        self.starting = {
            trial.config["trial"]: there[actor][0]
            for trial, actor in starting.items()
            if trial.status == Trial.PENDING and actor in there
        }
        waiting = (t for t in tune_controller.get_live_trials() if t.status == Trial.PENDING)
        return min(waiting, key=lambda t: (t in starting, t.config["trial"]), default=None)


class FrontierHalving(InTurn):
    """Stops trials that `rule` gives up, but no baseline, which is there to be compared with.

    A trial's config carries `trial` (its number), `flops` and, if it is one, `baseline`, a result
    `epoch` and `accuracy`; a result without an epoch decides nothing. Its state is the rule's:
    after a restart, rebuild that by `Rungs.take_in`; what Tune would save or restore is not
    needed.
    """

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
