"""What several trainings of networks say of their accuracies: a normal posterior. Plain numbers.

The variance of one training is quasi-binomial: p(1-p)/images times a dispersion that all share.
"""

# Poor networks vary more than good ones, and a variance pooled without p(1-p) would hide that.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Array = NDArray[np.float64]
PRIOR_DEGREES = 2.0  # the binomial variance counts as so many degrees of freedom
DRAWS = 20_000  # of the posterior: a probability is known to .004


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Networks and the means of their trainings; `spread`: the standard deviation of one."""

    flops: Array  # (N,)
    count: Array  # (N,) trainings, also 0
    mean: Array  # (N,) NaN where there is none
    spread: Array  # (N,) NaN where there is none
    dispersion: float  # of the variance over p(1-p)/images
    degrees: float  # of freedom of the dispersion; infinite where it is not estimated

    @classmethod
    def of(
        cls, flops: Sequence[float], accuracies: Sequence[Sequence[float]], *, images: int
    ) -> Estimates:
        """Of the accuracies of each network, one a training, on so many validation images."""
        count = np.array([len(values) for values in accuracies], float)
        mean = np.array([np.mean(values) if len(values) else np.nan for values in accuracies])
        binomial = binomial_variance(mean, images)
        total, degrees = PRIOR_DEGREES, PRIOR_DEGREES
        for values, centre, variance in zip(accuracies, mean, binomial, strict=True):
            if len(values) > 1:
                total += float(np.sum((np.array(values) - centre) ** 2) / variance)
                degrees += len(values) - 1
        dispersion = total / degrees
        return cls(
            flops=np.array(flops, float),
            count=count,
            mean=mean,
            spread=np.sqrt(dispersion * binomial),
            dispersion=dispersion,
            degrees=degrees,
        )

    @classmethod
    def binomial(
        cls, flops: Sequence[float], accuracies: Sequence[float], *, images: int
    ) -> Estimates:
        """Of one training each, with nothing but the binomial variance known."""
        mean = np.array(accuracies, float)
        return cls(
            flops=np.array(flops, float),
            count=np.ones(len(mean)),
            mean=mean,
            spread=np.sqrt(binomial_variance(mean, images)),
            dispersion=1.0,
            degrees=math.inf,
        )

    def error(self, pending: Array | float = 0.0) -> Array:
        """(N,) the standard error of each mean, or what it will be with `pending` trainings."""
        trainings = np.maximum(self.count + pending, 1e-300)
        return np.asarray(self.spread / np.sqrt(trainings))


def binomial_variance(accuracy: Array, images: int) -> Array:
    """Of an accuracy measured on so many images, with one right and one wrong added: never 0."""
    p = (accuracy * images + 1) / (images + 2)
    return np.asarray(p * (1 - p) / images)


def membership(estimates: Estimates, *, seed: int = 0) -> Array:
    """(N,) the probability of each network to be on the accuracy/FLOPs staircase of them all; 0
    where it has no training."""
    known = np.flatnonzero(estimates.count > 0)
    share = np.zeros(len(estimates.count))
    if not len(known):
        return share
    # Of equal FLOPs, the one with the higher accuracy: both are compared with what is cheaper, and
    # with each other.
    order = known[np.argsort(estimates.flops[known], kind="stable")]
    rng = np.random.default_rng(seed)
    scale = np.ones((DRAWS, 1))
    if math.isfinite(estimates.degrees):
        scale = np.sqrt(estimates.degrees / rng.chisquare(estimates.degrees, (DRAWS, 1)))
    noise = rng.standard_normal((DRAWS, len(order)))
    drawn = estimates.mean[order] + estimates.error()[order] * scale * noise
    flops = estimates.flops[order]
    for place, network in enumerate(order):
        rivals = flops <= flops[place]
        rivals[place] = False
        best = drawn[:, rivals].max(axis=1, initial=-math.inf)
        share[network] = float(np.mean(drawn[:, place] > best))
    return share


def rivals(estimates: Estimates) -> list[tuple[int, int]]:
    """(network, rival): the best among those that cost no more; the cheapest has none."""
    pairs = []
    known = np.flatnonzero(estimates.count > 0)
    for network in known:
        others = known[(estimates.flops[known] <= estimates.flops[network]) & (known != network)]
        if len(others):
            pairs.append((int(network), int(others[np.argmax(estimates.mean[others])])))
    return pairs


def misordering(
    estimates: Estimates, pairs: Sequence[tuple[int, int]], pending: Array | float = 0.0
) -> Array:
    """The probability of each pair that the truth orders it otherwise than the means do: .5 where
    they are equal."""
    if not pairs:
        return np.zeros(0)
    first, second = np.array(pairs).T
    error = estimates.error(pending)
    apart = np.abs(estimates.mean[first] - estimates.mean[second])
    ratio = apart / np.hypot(error[first], error[second])
    return np.asarray(stdtr(min(estimates.degrees, 1e9), -ratio))
