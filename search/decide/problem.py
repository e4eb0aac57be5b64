"""The networks of a search space as the frontier sampler's `Problem`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from search.decide.known_cost import Params
from search.decide.samplers import gene_distributions
from space import (
    Architecture,
    SearchSpace,
    architecture_features,
    count_flops,
    count_params,
)
from space.parts import kind_named


@dataclass(frozen=True, slots=True)
class Network:
    """An architecture and the genes it was made from, which need not be canonical."""

    genes: Params
    architecture: Architecture


class SpaceProblem:
    """The networks of a search space under a budget of FLOPs and, if given, of parameters."""

    def __init__(self, space: SearchSpace, *, budget: int, max_params: int | None = None) -> None:
        self.space, self._max_params = space, max_params
        self.budget = float(budget)
        self._names = list(space.genes)
        stems = [kind_named(stem) for stem in space.stem if stem not in ("patch", "conv")]
        self._kinds = [*stems, *(p.kind for p in space.placements if not p.is_off())]

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        return gene_distributions(self.space)

    def decode(self, params: Mapping[str, Any]) -> Network:
        return Network(dict(params), self.space.decode(params))

    def encode(self, item: Network) -> Params:
        return self.space.encode(item.architecture)

    def key(self, item: Network) -> Hashable:
        return self.space.key(item.architecture)

    def cost(self, item: Network) -> float:
        return float(count_flops(item.architecture))

    def fits(self, item: Network) -> bool:
        return count_flops(item.architecture) <= self.budget and (
            self._max_params is None or count_params(item.architecture) <= self._max_params
        )

    def features(self, item: Network) -> list[float]:
        return architecture_features(item.architecture, self._kinds)

    def smallest(self) -> Network:
        architecture = self.space.smallest()
        if self._max_params is not None and count_params(architecture) > self._max_params:
            architecture = self.space.leanest(int(self.budget)) or architecture
        return Network(self.space.encode(architecture), architecture)

    def sample(self, rng: np.random.Generator) -> Network:
        return self.decode(self.space.draw(rng))

    def mutate(self, item: Network, rng: np.random.Generator) -> Network:
        if not self._names:
            return item
        name = self._names[int(rng.integers(len(self._names)))]
        choices = self.space.genes[name]
        here = choices.index(item.genes.get(name, choices[0]))
        if rng.random() < 0.5:  # the next choice, for numbers have an order
            there = min(max(here + (1 if rng.random() < 0.5 else -1), 0), len(choices) - 1)
        else:
            there = int(rng.integers(len(choices)))
        return self.decode({**item.genes, name: choices[there]})

    def crossover(self, first: Network, second: Network, rng: np.random.Generator) -> Network:
        takes = rng.random(len(self._names)).tolist()
        parents = (first.genes, second.genes)
        return self.decode(
            {
                name: parents[take < 0.5].get(name, self.space.genes[name][0])
                for name, take in zip(self._names, takes, strict=True)
            }
        )

    def size(self) -> int:
        return self.space.size()

    def enumerate(self) -> Iterator[Network]:
        for architecture in self.space.enumerate():
            yield Network(self.space.encode(architecture), architecture)


def built(space: SearchSpace, architecture: Architecture) -> dict[str, list[int]]:
    """By kind of part that the space places, the blocks, from 0, that are of the kind or that it
    stands after. The genes' own places are those in the deepest network of the space."""
    kinds = [placement.kind.kind for placement in space.placements if not placement.is_off()]
    after = [(part.kind, block) for block, part, _ in architecture.after_blocks()]
    return {
        kind: [*architecture.blocks_of(kind), *(block for of, block in after if of == kind)]
        for kind in kinds
    }
