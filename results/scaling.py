"""What another budget would buy: error = a (C + d)^-b + c along the frontier, with bootstrap
intervals. Plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from results.words import USUAL_IMAGES

if TYPE_CHECKING:
    from results.run import Run

Array = NDArray[np.float64]
LEAST_MEMBERS = 5  # of the frontier, with fewer nothing is fitted
FACTOR = 4.0  # beyond so many times the costliest member, or below so little, nothing is said
REPEATS = 200  # of the bootstrap
QUANTILES = (0.05, 0.95)
EXPONENTS = np.linspace(0.05, 2.0, 40)  # of b
OFFSETS = (0.0, 0.1, 0.3, 1.0, 3.0)  # of d, in costs of the cheapest member


@dataclass(frozen=True, slots=True)
class Law:
    """error = a (C + d)^-b + c, C in costs of the cheapest member."""

    a: float
    b: float
    c: float
    d: float

    def error(self, cost: Array | float) -> Array:
        return np.asarray(self.a * (cost + self.d) ** -self.b + self.c)


@dataclass(frozen=True, slots=True)
class Expected:
    """The accuracy that a budget is expected to buy, and its interval, 90 %."""

    flops: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The law of a frontier and those of its bootstrap; `flops`: of its cheapest and costliest."""

    law: Law
    repeats: tuple[Law, ...]
    flops: tuple[float, float]

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the most FLOPs of which something is said."""
        return self.flops[0] / FACTOR, self.flops[1] * FACTOR

    def reaches(self, flops: float) -> bool:
        return self.reach[0] <= flops <= self.reach[1]

    def at(self, flops: float) -> Expected:
        """What a budget would buy. Raises ValueError beyond `FACTOR` of what was trained."""
        low, high = self.reach
        if not self.reaches(flops):
            raise ValueError(
                f"`flops` must be within {FACTOR:g} times what the frontier has, {low:.3g} to "
                f"{high:.3g}, but got {flops:.3g}: search with that budget instead."
            )
        cost = flops / self.flops[0]
        drawn = [1 - float(law.error(cost)) for law in self.repeats]
        ends = np.quantile(drawn, QUANTILES)
        return Expected(flops, 1 - float(self.law.error(cost)), float(ends[0]), float(ends[1]))


def scaling_of(run: Run, *, seed: int = 0) -> Scaling | None:
    """The law of the confirmed frontier, else of the frontier by validation accuracy; None with
    too few members."""
    stairs = run.confirmed.staircase if run.confirmed is not None else []
    points = [(n.record.flops, n.mean, n.error or 0.0) for n in stairs if n.mean is not None]
    if len(points) < LEAST_MEMBERS:
        images = run.images or USUAL_IMAGES
        known = [(r.flops, r.accuracy) for r in run.front if r.accuracy is not None]
        points = [(f, p, max((p * (1 - p) / images) ** 0.5, 0.5 / images)) for f, p in known]
    if len(points) < LEAST_MEMBERS:
        return None
    flops, accuracy, error = np.array(points, float).T
    return fit_scaling(flops, accuracy, error, seed=seed)


def fit_scaling(flops: Array, accuracy: Array, error: Array, *, seed: int = 0) -> Scaling:
    """The law of a frontier (N,), each accuracy with its standard error.

    The bootstrap draws from what the law leaves, and adds those errors once more.
    """
    cost, wrong = flops / flops.min(), 1 - accuracy
    weight = 1 / np.maximum(error, 1e-4)
    law = _fitted(cost, wrong, weight)
    fitted, rng = law.error(cost), np.random.default_rng(seed)
    left = (wrong - fitted) * np.sqrt(len(cost) / max(len(cost) - 3, 1))
    repeats = []
    for _ in range(REPEATS):
        drawn = rng.choice(left, len(left)) + rng.normal(0, 1, len(left)) * error
        repeats.append(_fitted(cost, np.clip(fitted + drawn, 0, 1), weight))
    return Scaling(law=law, repeats=tuple(repeats), flops=(float(flops.min()), float(flops.max())))


def _fitted(cost: Array, wrong: Array, weight: Array) -> Law:
    """The law of least weighted squares, a and c not negative, over a grid of b and d."""
    d, b = (grid.ravel() for grid in np.meshgrid(OFFSETS, EXPONENTS))
    basis, share = (cost + d[:, None]) ** -b[:, None], weight**2 / (weight**2).sum()
    mean, centre = basis @ share, float(wrong @ share)
    apart = basis - mean[:, None]
    a = (apart @ (share * wrong)) / np.maximum((apart**2) @ share, 1e-12)
    without = (basis @ (share * wrong)) / ((basis**2) @ share)  # a where c is 0
    a = np.maximum(np.where(centre - a * mean < 0, without, a), 0.0)
    c = np.maximum(centre - a * mean, 0.0)
    left = (wrong - a[:, None] * basis - c[:, None]) ** 2 @ share
    best = int(np.argmin(left))
    return Law(float(a[best]), float(b[best]), float(c[best]), float(d[best]))
