"""Optuna's samplers by the names of `--sampler`."""

from __future__ import annotations

import warnings
from decimal import Decimal
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

    Evenly spaced numbers keep their order where Optuna's grid hits them exactly; anything else is
    categorical.
    """
    return {name: _distribution(choices) for name, choices in space.genes.items()}


def _distribution(choices: tuple[Any, ...]) -> BaseDistribution:
    if any(isinstance(choice, (str, bool)) for choice in choices):
        return CategoricalDistribution(choices)
    low, high, step = choices[0], choices[-1], choices[1] - choices[0]
    if any(low + i * step != choice for i, choice in enumerate(choices)):
        return CategoricalDistribution(choices)
    if all(isinstance(choice, int) for choice in choices):
        return IntDistribution(low, high, step=step)
    if (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):  # Optuna would lower `high`
        return CategoricalDistribution(choices)
    return FloatDistribution(float(low), float(high), step=float(step))


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
