"""What a network of known cost would add to the frontier, in expectation. NumPy and SciPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staircase:
    """A(t) = the best accuracy at cost at most t: `levels[j]` from `starts[j]` to `starts[j + 1]`,
    the last up to `end`. The first level is the reference, from minus infinity."""

    starts: Array  # (J,)
    levels: Array  # (J,)
    end: float

    @property
    def hypervolume(self) -> float:
        """The area between the staircase and its reference, up to `end`."""
        right = np.append(self.starts[1:], self.end)[1:]
        widths = np.maximum(right - self.starts[1:], 0.0)
        return float(widths @ (self.levels[1:] - self.levels[0]))


def staircase(costs: Array, accuracies: Array, *, reference: float, end: float) -> Staircase:
    """The staircase of points of that cost and accuracy; `costs` and `end` on one axis."""
    order = np.lexsort((-accuracies, costs))
    costs, accuracies = costs[order], accuracies[order]
    best = np.maximum.accumulate(np.append(reference, accuracies))
    rises = (accuracies > best[:-1]) & (costs <= end)
    return Staircase(
        starts=np.append(-np.inf, costs[rises]),
        levels=np.append(reference, accuracies[rises]),
        end=end,
    )


def expected_improvement(mean: Array, sd: Array, level: Array) -> Array:
    """E[max(0, Y - level)] of Y ~ N(mean, sd^2)."""
    gap = mean - level
    scaled = gap / sd
    return np.asarray(gap * ndtr(scaled) + sd * np.exp(-0.5 * scaled**2) / np.sqrt(2.0 * np.pi))


def expected_gain(costs: Array, mean: Array, sd: Array, front: Staircase) -> Array:
    """Expected growth of the hypervolume by each candidate of exact cost and accuracy ~ N(mean,
    sd^2). Exact: a weighted sum of ordinary expected improvements."""
    # Raising A(t) to y for all t >= c adds, over step j, its length right of c times max(0, y -
    # A_j).
    right = np.append(front.starts[1:], front.end)
    widths = np.maximum(right - np.maximum(front.starts, costs[:, None]), 0.0)  # (N, J)
    sd = np.maximum(sd, 1e-12)
    return np.asarray(
        (widths * expected_improvement(mean[:, None], sd[:, None], front.levels)).sum(axis=1)
    )
