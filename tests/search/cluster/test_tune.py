"""The scheduler inside a real Ray Tune, with a function that plays a training."""

import numpy as np
import pytest
import ray
from ray import tune

from benchmarks.halving import HalvingRule
from search.cluster.tune import FrontierHalving
from search.cluster.worker import ProxyTrainable
from search.decide.early_stopping import FreezeThaw
from search.decide.problem import SpaceProblem
from space import SearchSpace

CEILINGS = (0.9, 0.6, 0.5, 0.95, 0.3, 0.35, 0.99)
BROKEN = 6


def make_training(ceilings, broken):
    def play(config):  # a closure: workers cannot import this file
        for epoch in range(1, 10):
            accuracy = ceilings[config["trial"]] * (1 - 0.5**epoch)
            nan = config["trial"] == broken and epoch > 1
            tune.report({"epoch": epoch, "accuracy": float("nan") if nan else accuracy})

    return play


@pytest.fixture(scope="module")
def local_ray():
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


class Starts(tune.Callback):
    """The numbers of trials as they were started."""

    def __init__(self):
        self.order = []

    def on_trial_start(self, iteration, trials, trial, **info):
        self.order.append(trial.config["trial"])


def test_tune_stops_what_the_rule_gives_up_and_keeps_what_leads(local_ray, tmp_path):
    scheduler = FrontierHalving(HalvingRule(max_epochs=9, tolerance=0))
    starts = Starts()
    analysis = tune.run(
        make_training(CEILINGS, BROKEN),
        config={
            "trial": tune.grid_search(list(range(len(CEILINGS)))),
            "flops": tune.sample_from(lambda config: 1_000_000 + config["trial"]),
        },
        scheduler=scheduler,
        callbacks=[starts],
        storage_path=str(tmp_path),
        resources_per_trial={"cpu": 1},
        reuse_actors=True,
        verbose=0,
    )
    epochs = {trial.config["trial"]: trial.last_result["epoch"] for trial in analysis.trials}
    assert epochs[0] == epochs[3] == 9
    assert epochs[2] == epochs[4] == epochs[5] == 1
    assert epochs[BROKEN] == 2
    assert starts.order == list(range(len(CEILINGS)))
    assert scheduler.stopped == 4
    assert "4 stopped" in scheduler.debug_string()


def make_worker(last, broken):
    """The worker of a search, its trainings made up."""

    class Player(ProxyTrainable):
        def setup(self, config):
            self._start(config)

        def _start(self, config):
            super()._start(config)
            self._epoch = 0

        def _train_one_epoch(self):
            self._epoch += 1
            if self._trial["trial"] == broken and self._epoch == last - 1:
                raise ValueError("broken")
            accuracy = self._trial["ceiling"] * (1 - 0.5**self._epoch)
            result = {"epoch": self._epoch, "accuracy": accuracy}
            return result | ({"finished": True, "done": True} if self._epoch == last else {})

    return Player


@pytest.mark.slow
def test_complete_trainings_teach_the_rule_of_a_search_and_failed_ones_do_not(local_ray, tmp_path):
    """Tune asks a scheduler nothing about the result that ends a trial."""
    problem = SpaceProblem(SearchSpace.load("digits"), budget=1_000_000)
    rng = np.random.default_rng(1)
    drawn = [n for n in (problem.sample(rng) for _ in range(400)) if problem.fits(n)]
    by_cost = sorted(drawn, key=problem.cost)[:: len(drawn) // 12]
    sizes, last, broken, laggards, baseline = [0, 2, 4, 3, 6, 8, 5, 7, 9], 9, 3, (6, 7), 8
    networks = [by_cost[size] for size in sizes]
    ceilings = [0.6 + 0.03 * size - 0.45 * (trial >= 6) for trial, size in enumerate(sizes)]
    rule = FreezeThaw(problem, networks.__getitem__, max_epochs=last, reference_accuracy=0.1)
    scheduler = FrontierHalving(rule)
    analysis = tune.run(
        make_worker(last, broken),
        config={
            "trial": tune.grid_search(list(range(len(networks)))),
            "flops": tune.sample_from(lambda config: problem.cost(networks[config["trial"]])),
            "baseline": tune.sample_from(lambda config: config["trial"] == baseline),
            "ceiling": tune.sample_from(lambda config: ceilings[config["trial"]]),
        },
        scheduler=scheduler,
        storage_path=str(tmp_path),
        resources_per_trial={"cpu": 1},
        reuse_actors=True,
        verbose=0,
    )
    results = {trial.config["trial"]: trial.last_result for trial in analysis.trials}
    assert "ValueError: broken" in results.pop(broken)["error"]
    epochs = {trial: result["epoch"] for trial, result in results.items()}
    assert all(epochs[trial] <= last // 3 for trial in laggards)
    assert {epochs[trial] for trial in results if trial not in laggards} == {last}
    assert scheduler.stopped == len(laggards)
    assert not any(broken in seen for seen in rule._results.values())
