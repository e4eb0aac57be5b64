"""How truly one score ranks networks by another: Kendall's tau-b with weights, its interval, and
the same at fixed cost. Plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_NETWORKS = 12  # with fewer, nothing is said
REPEATS = 1000  # of the bootstrap
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Tau:
    """Kendall's tau-b and its interval, 95 %."""

    value: float
    low: float
    high: float


def rank_agreement(
    score: Array, truth: Array, flops: Array, weights: Array
) -> tuple[Tau, Tau] | None:
    """Tau of two scores (N,), overall and at fixed cost; `weights`: how many networks each stands
    for. None where it cannot be said: below `LEAST_NETWORKS`, or one score is the same for all."""
    if len(score) < LEAST_NETWORKS:
        return None
    cost = np.log(flops) - np.log(flops).mean()
    whole = _taus(score, truth, cost, weights)
    if not np.isfinite(whole).all():
        return None
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(REPEATS):
        rows = rng.integers(len(score), size=len(score))
        samples.append(_taus(score[rows], truth[rows], cost[rows], weights[rows]))
    ends = np.nanquantile(np.array(samples), QUANTILES, axis=0)
    overall, fixed = (Tau(whole[i], float(ends[0, i]), float(ends[1, i])) for i in (0, 1))
    return overall, fixed


def _taus(score: Array, truth: Array, cost: Array, weights: Array) -> tuple[float, float]:
    """Tau, and that of what a quadratic in log FLOPs leaves of the ranks."""
    given = np.stack([np.ones(len(cost)), cost, cost**2], axis=1)
    ranks = np.stack([weighted_ranks(score, weights), weighted_ranks(truth, weights)], axis=1)
    root = np.sqrt(weights)[:, None]
    left = ranks - given @ np.linalg.lstsq(given * root, ranks * root, rcond=None)[0]
    left = left.round(9)  # a network drawn twice is tied with itself
    return weighted_tau(score, truth, weights), weighted_tau(left[:, 0], left[:, 1], weights)


def weighted_ranks(values: Array, weights: Array) -> Array:
    """The share of the weight below each value, and half of what is equal to it."""
    below = (values[None, :] < values[:, None]) @ weights
    equal = (values[None, :] == values[:, None]) @ weights
    return np.asarray((below + 0.5 * equal) / weights.sum())


def weighted_tau(x: Array, y: Array, weights: Array) -> float:
    """Kendall's tau-b in which a pair counts as the product of its weights; NaN if all are tied."""
    pairs = np.outer(weights, weights)
    by_x, by_y = np.sign(x[:, None] - x[None, :]), np.sign(y[:, None] - y[None, :])
    norm = float((pairs * by_x**2).sum() * (pairs * by_y**2).sum())
    return float((pairs * by_x * by_y).sum() / np.sqrt(norm)) if norm else float("nan")
