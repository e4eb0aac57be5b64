"""`Problem`: what the frontier sampler must know of what it searches. Nothing of networks here."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

Params = dict[str, Any]
Item = TypeVar("Item")


class Problem(Protocol[Item]):
    """Items that have an exact cost, known before one is tried, and an accuracy that is not. `key`
    is equal for two spellings of one item."""

    # An item is encoded by the same parameters as all others. Features are numbers an accuracy may
    # depend on, of any scale, always as many.

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Optuna's distribution of every parameter."""

    @property
    def budget(self) -> float:
        """The largest cost that fits."""

    def decode(self, params: Mapping[str, Any]) -> Item:
        """The item that parameters stand for."""

    def encode(self, item: Item) -> Params:
        """The canonical parameters of an item."""

    def key(self, item: Item) -> Hashable:
        """The identity of an item."""

    def cost(self, item: Item) -> float:
        """The exact cost, above 0."""

    def fits(self, item: Item) -> bool:
        """Whether it may be tried: its cost is within the budget, and whatever else is asked."""

    def features(self, item: Item) -> Sequence[float]:
        """What the surrogate sees of it."""

    def smallest(self) -> Item:
        """An item of least cost."""

    def sample(self, rng: np.random.Generator) -> Item:
        """A random item, which need not fit."""

    def mutate(self, item: Item, rng: np.random.Generator) -> Item:
        """An item one step away, which need not fit or differ."""

    def crossover(self, first: Item, second: Item, rng: np.random.Generator) -> Item:
        """An item between two others."""

    def size(self) -> int:
        """How many different items there are, fitting or not."""

    def enumerate(self) -> Iterator[Item]:
        """Every item once."""


def is_choice(value: object, distribution: Any) -> bool:
    """Whether a parameter may have that value, whoever gave it."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if type(value) not in (int, float) or not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / (distribution.step or 1)
    return distribution.step is None or abs(steps - round(steps)) < 1e-6
