"""The scheduler inside a real Ray Tune, with a function that plays a training."""

import pytest
import ray
from ray import tune

from search.halving import HalvingRule
from search.scheduler import FrontierHalving

CEILINGS = (0.9, 0.6, 0.5, 0.95, 0.3, 0.35, 0.99)
BROKEN = 6


def make_training(ceilings, broken):
    def play(config):  # a closure: workers cannot import this file
        for epoch in range(1, 10):
            accuracy = ceilings[config["trial"]] * (1 - 0.5**epoch)
            nan = config["trial"] == broken and epoch > 1
            tune.report({"epoch": epoch, "accuracy": float("nan") if nan else accuracy})

    return play


@pytest.fixture
def local_ray(monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
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
            "flops": tune.sample_from(lambda spec: 1_000_000 + spec.config.trial),
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
