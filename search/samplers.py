"""Optuna's samplers by the names of `--sampler`."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from space import SearchSpace


def gene_distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of every gene: a fixed number of parameters for the whole space.

    Evenly spaced numbers keep their order; anything else is categorical.
    """
    return {name: _distribution(choices) for name, choices in space.genes.items()}


def _distribution(choices: tuple[Any, ...]) -> BaseDistribution:
    if any(isinstance(choice, (str, bool)) for choice in choices):
        return CategoricalDistribution(choices)
    steps = {round(b - a, 9) for a, b in itertools.pairwise(choices)}
    if len(steps) > 1:
        return CategoricalDistribution(choices)
    low, high, step = choices[0], choices[-1], steps.pop()
    if all(isinstance(choice, int) for choice in choices):
        return IntDistribution(low, high, step=int(step))
    return FloatDistribution(float(low), float(high), step=step)


def make_sampler(name: str, *, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of that name. `seed` should depend on how many trials the study holds, so
    that a resumed search does not draw the same numbers again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
    raise ValueError(f"Unknown sampler {name!r}.")
