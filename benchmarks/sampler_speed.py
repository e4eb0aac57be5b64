"""Seconds a suggestion of the frontier sampler takes at 100 and 2,000 trials of a study.

    python benchmarks/sampler_speed.py

A third of the trials were stopped early. "first" is the first suggestion after a start, which also
reads the study; wall and processor time, one thread. Goals: 0.2 s and 1 s. One line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.decide.frontier_sampler import FrontierSampler
from search.decide.problem import Network, SpaceProblem
from space import SearchSpace

EPOCHS, RUNG = 9, 3


def finished_trial(problem: SpaceProblem, item: Network, *, stopped: bool, noise: float) -> Any:
    """A trial with a made-up curve: larger is better, with noise."""
    size = np.log10(problem.cost(item) / problem.budget)
    accuracy = float(np.clip(1.0 / (1.0 + np.exp(-2.5 - size)) + noise, 0.0, 1.0))
    epochs = RUNG if stopped else EPOCHS
    curve = [{"epoch": e, "accuracy": accuracy * (0.6 + 0.04 * e)} for e in range(1, epochs + 1)]
    return create_trial(
        state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
        values=None if stopped else [accuracy, problem.cost(item)],
        params=problem.encode(item),
        distributions=dict(problem.distributions),
        user_attrs={"curve": curve},
    )


def trials(problem: SpaceProblem, count: int) -> list[FrozenTrial]:
    rng, found = np.random.default_rng(0), {}
    while len(found) < count:
        item = problem.sample(rng)
        if problem.fits(item):
            found[problem.key(item)] = item
    return [
        finished_trial(problem, item, stopped=i % 3 == 2, noise=rng.normal(0.0, 0.01))
        for i, item in enumerate(found.values())
    ]


def measure(space: str, budget: int, count: int, repeats: int = 8) -> dict[str, float]:
    problem = SpaceProblem(SearchSpace.load(space), budget=budget)
    start = time.perf_counter()
    sampler = FrontierSampler(problem, reference_accuracy=0.1)
    result = {"construction": round(time.perf_counter() - start, 3)}
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.add_trials(trials(problem, count))
    walls, cpus = [], []
    for _ in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        trial = study.ask(dict(problem.distributions))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        study.tell(trial, (0.5, problem.cost(problem.decode(trial.params))))
    result |= {"first": round(walls[0], 3), "first_cpu": round(cpus[0], 3)}
    rest, rest_cpu = np.median(walls[1:]), np.median(cpus[1:])
    return result | {"median": round(float(rest), 3), "median_cpu": round(float(rest_cpu), 3)}


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    report: dict[str, Any] = {"benchmark": "sampler_speed"}
    for space, budget in (("digits", 2_000_000), ("cifar", 30_000_000)):
        for count in (100, 2000):
            report[f"{space}_{count}"] = measure(space, budget, count)
            print(f"{space}, {count} trials: {report[f'{space}_{count}']}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
