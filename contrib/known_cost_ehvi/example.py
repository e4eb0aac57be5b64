"""A made-up training: larger networks score higher, up to a width that is enough."""

import optuna
import optunahub
from optuna.distributions import CategoricalDistribution, IntDistribution

SPACE = {
    "depth": IntDistribution(1, 12),
    "width": IntDistribution(16, 256, step=16),
    "attention": CategoricalDistribution(["plain", "window"]),
}


def flops(params):
    maps = 128 if params["attention"] == "plain" else 32
    return 64 * params["depth"] * (12 * params["width"] ** 2 + maps * params["width"])


def objective(trial):
    depth = trial.suggest_int("depth", 1, 12)
    width = trial.suggest_int("width", 16, 256, step=16)
    attention = trial.suggest_categorical("attention", ["plain", "window"])
    score = 0.9 - 0.3 / depth - 4.0 / width - 0.02 * (attention == "window")
    return score, flops(trial.params)


if __name__ == "__main__":
    module = optunahub.load_local_module("samplers/known_cost_ehvi", registry_root="./package/")
    sampler = module.KnownCostEHVISampler(SPACE, flops, budget=30e6, reference_score=0.1)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=30)
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(trial.values, trial.params)
