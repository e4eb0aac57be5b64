"""Items a sampler may propose: random ones that fit, and neighbours of good ones. No study here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from search.decide.known_cost import Item, Problem

Array = NDArray[np.float64]

# Random items are drawn in blocks. A suggestion sees the standing ones, drawn once, and those of
# the trial and of the one after: the space is seen anew all the time at little cost.
BLOCK, STANDING, FRESH = 300, 6, 2
NEIGHBOURS = 240
ENUMERABLE = 8192  # a space of at most that many items is looked at as a whole
SEARCHABLE = 200_000  # ... or looked through for what is left, before it counts as exhausted
_BLOCK_STREAM, _LAST_STREAM = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Generic[Item]):
    """An item, with what a decision needs."""

    item: Item
    key: Hashable
    log_cost: float  # log10
    features: Array = field(compare=False)  # (D,), scaled to [0, 1] over the space


class Candidates(Generic[Item]):
    """Candidates of a problem; all random draws are functions of `seed` and the trial's number.

    Raises ValueError if nothing fits the budget.
    """

    def __init__(self, problem: Problem[Item], *, seed: int) -> None:
        self._problem, self._seed = problem, seed
        self._blocks: dict[int, list[Candidate[Item]]] = {}
        self._low, self._span = np.zeros(0), np.ones(0)  # of the features, over the first block
        self._is_small = problem.size() <= ENUMERABLE
        smallest = problem.smallest()
        self._starts = [smallest] if problem.fits(smallest) else []
        first = self._block(0)
        if not first:
            raise ValueError(
                f"At least one item must fit `budget` (={problem.budget:g}), but the smallest "
                f"costs {problem.cost(smallest):g}: raise the budget."
            )
        features = np.array([candidate.features for candidate in first])
        self._low, self._span = features.min(axis=0), np.ptp(features, axis=0)
        self._span[self._span == 0.0] = 1.0
        self._blocks.clear()
        if not self._is_small:
            first = [c for index in range(STANDING) for c in self._block(index)]
        costs = [candidate.log_cost for candidate in first]
        self.lowest_cost, self.highest_cost = min(costs), max(costs)

    def describe(self, item: Item) -> Candidate[Item]:
        """The candidate of an item."""
        features = np.array(self._problem.features(item), float)
        if len(self._low):
            features = (features - self._low) / self._span
        return Candidate(
            item=item,
            key=self._problem.key(item),
            log_cost=math.log10(self._problem.cost(item)),
            features=features,
        )

    def at_random(self, number: int) -> list[Candidate[Item]]:
        """Different items that fit, for the trial of that number: all of a small space, else about
        2,000, a few of which change from trial to trial."""
        if self._is_small:
            return self._block(0)
        fresh = range(STANDING + number, STANDING + number + FRESH)
        for old in [index for index in self._blocks if STANDING <= index < fresh[0]]:
            del self._blocks[old]
        wanted = [*range(STANDING), *fresh]
        found = {c.key: c for index in wanted for c in self._block(index)}
        return list(found.values())

    def near(
        self, parents: Sequence[Item], rng: np.random.Generator, *, count: int = NEIGHBOURS
    ) -> list[Candidate[Item]]:
        """Different items that fit, one or two mutations from a parent or between two of them;
        none of a small space, all of which are `at_random`'s."""
        problem, found = self._problem, {}
        if self._is_small:
            return []
        for turn, parent in enumerate(itertools.islice(itertools.cycle(parents), count)):
            kind = turn // len(parents) % 3
            if kind == 2 and len(parents) > 1:
                other = parents[int(rng.integers(len(parents)))]
                item = problem.crossover(parent, other, rng)
            else:
                item = problem.mutate(parent, rng)
                if kind == 1:
                    item = problem.mutate(item, rng)
            key = problem.key(item)
            if key not in found and problem.fits(item):
                found[key] = self.describe(item)
        return list(found.values())

    def left(self, tried: AbstractSet[Hashable]) -> list[Candidate[Item]]:
        """Items that fit and are not among `tried`, by a long search; empty if there are none, or
        if they are too few to be found in a space of more than `SEARCHABLE` items."""
        problem, found = self._problem, {}
        if problem.size() <= SEARCHABLE:
            items: Iterator[Item] = problem.enumerate()
        else:
            rng = np.random.default_rng((self._seed, _LAST_STREAM, len(tried)))
            items = self._walk(rng, tries=40_000)
        for item in items:
            key = problem.key(item)
            if key not in tried and key not in found and problem.fits(item):
                found[key] = self.describe(item)
                if len(found) == BLOCK:
                    break
        return list(found.values())

    def _block(self, index: int) -> list[Candidate[Item]]:
        if index not in self._blocks:
            found: dict[Hashable, Candidate[Item]] = {}
            if self._is_small:
                items, most = self._problem.enumerate(), ENUMERABLE
            else:
                rng = np.random.default_rng((self._seed, _BLOCK_STREAM, index))
                items, most = self._walk(rng, tries=10 * BLOCK), BLOCK
            for item in items:
                if self._problem.fits(item):
                    found.setdefault(self._problem.key(item), self.describe(item))
                    if len(found) == most:
                        break
            self._blocks[index] = list(found.values())
        return self._blocks[index]

    def _walk(self, rng: np.random.Generator, *, tries: int) -> Iterator[Item]:
        """Random items and, as few of these may fit, mutants of those that did, in turn."""
        fitting = list(self._starts)
        for turn in range(tries):
            if fitting and turn % 2:
                item = self._problem.mutate(fitting[int(rng.integers(len(fitting)))], rng)
            else:
                item = self._problem.sample(rng)
            if self._problem.fits(item):
                fitting.append(item)
                yield item
