"""`KnownCostEHVISampler`: `FrontierSampler` on any search space of Optuna's, by a cost function."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ._vit_frontier.frontier_sampler import FrontierSampler

Params = dict[str, Any]
Cost = Callable[[Mapping[str, Any]], float]
Features = Callable[[Mapping[str, Any]], list[float]]

TRIED_FOR_THE_CHEAPEST = 2000
STEP = 0.1  # of the range of a continuous parameter: the standard deviation of a mutation
CONTINUOUS = 1000  # values that one such parameter counts as, when a space is called small


class KnownCostEHVISampler(FrontierSampler):
    """Proposes what is expected to add most to the frontier of a score in [0, 1], to maximize, over
    log cost, to minimize, where `cost(params)` is exact and known before a trial.

    `budget`: no dearer trial is proposed. `reference_score`: what guessing scores. `features`: what
    the score may depend on; by default the parameters and the log of the cost.
    """

    def __init__(
        self,
        search_space: Mapping[str, BaseDistribution],
        cost: Cost,
        *,
        budget: float,
        reference_score: float = 0.0,
        features: Features | None = None,
        seed: int = 0,
    ) -> None:
        problem = _Space(search_space, cost, budget=budget, features=features, seed=seed)
        super().__init__(problem, seed=seed, reference_accuracy=reference_score)


class _Space:
    """The assignments of a search space as the `Problem` of `FrontierSampler`."""

    def __init__(
        self,
        search_space: Mapping[str, BaseDistribution],
        cost: Cost,
        *,
        budget: float,
        features: Features | None,
        seed: int,
    ) -> None:
        if not search_space:
            raise ValueError("`search_space` must have a parameter, but is empty: name one.")
        self.distributions, self.budget = dict(search_space), float(budget)
        self._cost, self._features = cost, features
        self._names = list(self.distributions)
        self._costs: dict[Hashable, float] = {}
        rng = np.random.default_rng((seed, TRIED_FOR_THE_CHEAPEST))
        ends = ({n: _value(d, end) for n, d in self.distributions.items()} for end in (0.0, 1.0))
        tried = [*ends, *(self.sample(rng) for _ in range(TRIED_FOR_THE_CHEAPEST))]
        self._cheapest = min(tried, key=self.cost)

    def decode(self, params: Mapping[str, Any]) -> Params:
        return {name: params[name] for name in self._names}

    def encode(self, item: Params) -> Params:
        return dict(item)

    def key(self, item: Params) -> Hashable:
        return tuple(map(item.__getitem__, self._names))

    def cost(self, item: Params) -> float:
        key = self.key(item)
        if key not in self._costs:
            cost = float(self._cost(item))
            if not 0.0 < cost < math.inf:
                raise ValueError(
                    f"`0 < cost(params) < inf` must hold, but it is {cost} for {item}: "
                    "return what a trial costs, in any unit."
                )
            self._costs[key] = cost
        return self._costs[key]

    def fits(self, item: Params) -> bool:
        return self.cost(item) <= self.budget

    def features(self, item: Params) -> list[float]:
        if self._features is not None:
            return [float(value) for value in self._features(item)]
        told = [_numbers(self.distributions[name], item[name]) for name in self._names]
        return [*itertools.chain(*told), math.log(self.cost(item))]

    def smallest(self) -> Params:
        return dict(self._cheapest)

    def sample(self, rng: np.random.Generator) -> Params:
        return {name: _value(d, rng.random()) for name, d in self.distributions.items()}

    def mutate(self, item: Params, rng: np.random.Generator) -> Params:
        name = self._names[int(rng.integers(len(self._names)))]
        distribution = self.distributions[name]
        place = rng.random()
        if not isinstance(distribution, CategoricalDistribution) and rng.random() < 0.5:
            step = max(STEP, 1.0 / _count(distribution))  # numbers have an order
            place = _place(distribution, item[name]) + step * rng.normal()
        return {**item, name: _value(distribution, min(max(place, 0.0), 1.0))}

    def crossover(self, first: Params, second: Params, rng: np.random.Generator) -> Params:
        return {name: (first, second)[int(rng.random() < 0.5)][name] for name in self._names}

    def size(self) -> int:
        return math.prod(map(_count, self.distributions.values()))

    def enumerate(self) -> Iterator[Params]:
        """Every item once, but of continuous parameters a grid."""
        choices = []
        for distribution in self.distributions.values():
            count = _count(distribution)
            choices.append([_value(distribution, (i + 0.5) / count) for i in range(count)])
        for values in itertools.product(*choices):
            yield dict(zip(self._names, values, strict=True))


def _count(distribution: BaseDistribution) -> int:
    """How many values there are."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    low, high, step = distribution.low, distribution.high, distribution.step
    return CONTINUOUS if step is None else round((high - low) / step) + 1


def _value(distribution: BaseDistribution, place: float) -> Any:
    """The value at a place in [0, 1] of the range, on a log scale if it is one."""
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        return distribution.choices[min(int(place * count), count - 1)]
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        half = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        ends = math.log(low - half), math.log(high + half)
        value = math.exp(ends[0] + place * (ends[1] - ends[0]))
    elif step is not None:
        count = round((high - low) / step) + 1
        value = low + step * min(int(place * count), count - 1)
    else:
        value = low + place * (high - low)
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)


def _place(distribution: FloatDistribution | IntDistribution, value: float) -> float:
    """Where in [0, 1] a value is."""
    low, high = distribution.low, distribution.high
    if low == high:
        return 0.5
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _numbers(distribution: BaseDistribution, value: Any) -> list[float]:
    """A number's place in its range, or one of several ones for a category."""
    if isinstance(distribution, CategoricalDistribution):
        return [float(value == choice) for choice in distribution.choices]
    return [_place(distribution, value)]
