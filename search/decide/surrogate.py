"""Accuracy from features of an architecture: a Gaussian process on the logit. No Optuna here."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtri

Array = NDArray[np.float64]

FIT_POINTS, POINTS = 100, 400  # most observations for the hyperparameters, and for the posterior
CLIP = 1e-3  # accuracies of exactly 0 and 1 have no logit
# Log-normal priors (mean, standard deviation of the log) on signal variance, length scales and
# noise variance, for features in [0, 1] and standardised targets: with twenty observations of
# twenty features, the likelihood alone fits noise. That of the noise is wide, since on some images
# seeds differ by as much as networks do.
SIGNAL, LENGTH, NOISE = (0.0, 1.0), (1.0, 1.0), (-3.0, 2.0)
# With n observations, variances are 1 + INFLATION / n times those at the most probable
# hyperparameters, which few observations leave uncertain: so that intervals hold what they say.
INFLATION = 25.0
JITTER = 1e-8
ITERATIONS = 60
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Surrogate:
    """Gaussian process, Matern 5/2 with a length scale for each feature, with noise, on logits, of
    `features` (N, D), scaled to about [0, 1], and `accuracies` (N,). No random numbers."""

    # The hyperparameters are the most probable ones, from the rows `subset` (all by default), the
    # posterior is that of all rows. Not scikit-learn's: that takes ten times as long to fit, as it
    # forms an (N, N, D) gradient, and maximises the likelihood without priors.

    def __init__(
        self, features: Array, accuracies: Array, *, subset: NDArray[np.intp] | None = None
    ) -> None:
        targets = logit(accuracies)
        self._centre = float(targets.mean())
        self._scale = max(float(targets.std()), 1e-3)
        self._observed = len(targets)  # what it believes is not counted
        self._features = features
        self._targets = (targets - self._centre) / self._scale
        rows = slice(None) if subset is None else subset
        theta = _most_probable(features[rows], self._targets[rows])
        self._signal, self._noise = float(np.exp(theta[0])), float(np.exp(theta[-1]))
        self._lengths = np.exp(theta[1:-1])
        covariance = self._signal * _matern(self._features / self._lengths)[0]
        covariance.flat[:: len(covariance) + 1] += self._noise + JITTER
        self._factor = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._factor, True), self._targets)

    def believe(self, features: Array) -> None:
        """Takes its own prediction at `features` for observed: what is being trained right now."""
        mean, _ = self._posterior(features)
        self._extend(features, mean)

    def given(self, features: Array, accuracies: Array) -> Surrogate:
        """Another one that has seen these, too, with the same hyperparameters."""
        other = copy.copy(self)
        other._extend(features, (logit(accuracies) - self._centre) / self._scale)
        other._observed += len(accuracies)
        return other

    def _extend(self, features: Array, targets: Array) -> None:
        """Takes in (M, D) and (M,), with one more block row of the Cholesky factor."""
        scaled = features / self._lengths
        shared = self._signal * _matern(self._features / self._lengths, scaled)[0]  # (N, M)
        own = self._signal * _matern(scaled)[0]
        own.flat[:: len(own) + 1] += self._noise + JITTER
        side = solve_triangular(self._factor, shared, lower=True)
        corner = np.linalg.cholesky(own - side.T @ side)
        self._factor = np.block([[self._factor, np.zeros_like(side)], [side.T, corner]])
        self._features = np.concatenate([self._features, features])
        self._targets = np.concatenate([self._targets, targets])
        self._weights = cho_solve((self._factor, True), self._targets)

    def _posterior(self, features: Array) -> tuple[Array, Array]:
        shared = (
            self._signal * _matern(self._features / self._lengths, features / self._lengths)[0]
        )  # (N, M)
        half = solve_triangular(self._factor, shared, lower=True)
        variance = self._signal - np.einsum("nm,nm->m", half, half)
        return shared.T @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (M,) of the accuracy itself, in [0, 1], without the noise."""
        mean, sd = self._posterior(features)
        sd = sd * np.sqrt(1.0 + INFLATION / self._observed)
        draws = (mean[:, None] + sd[:, None] * _NODES) * self._scale + self._centre  # (M, nodes)
        accuracies = 1.0 / (1.0 + np.exp(-draws))
        expected = accuracies @ _WEIGHTS
        return expected, np.sqrt((accuracies - expected[:, None]) ** 2 @ _WEIGHTS)

    def interval(self, features: Array, share: float = 0.9) -> tuple[Array, Array]:
        """Lower and upper ends (M,) between which the accuracy of one training lies with that
        probability, its noise included."""
        mean, sd = self._posterior(features)
        variance = (1.0 + INFLATION / self._observed) * sd**2 + self._noise
        reach = ndtri(0.5 + share / 2) * np.sqrt(variance)
        low, high = (self._centre + self._scale * (mean + sign * reach) for sign in (-1.0, 1.0))
        return 1.0 / (1.0 + np.exp(-low)), 1.0 / (1.0 + np.exp(-high))


def fitted(features: Array, accuracies: Array, costs: Array) -> Surrogate:
    """A surrogate of at most `POINTS` of N observations, its hyperparameters of `FIT_POINTS`: the
    most telling ones. `features` (N, D), `accuracies` (N,), `costs` (N,) log10 FLOPs."""
    rows = most_telling(costs, accuracies, POINTS)
    features, accuracies, costs = features[rows], accuracies[rows], costs[rows]
    return Surrogate(features, accuracies, subset=most_telling(costs, accuracies, FIT_POINTS))


def most_telling(costs: Array, accuracies: Array, count: int) -> NDArray[np.intp]:
    """At most `count` rows: half nearest below the frontier, the others spread over cost."""
    if len(costs) <= count:
        return np.arange(len(costs))
    order = np.lexsort((-accuracies, costs))
    best = np.empty(len(costs))
    best[order] = np.maximum.accumulate(accuracies[order])
    near = np.argsort(best - accuracies, kind="stable")[: count // 2]
    rest = order[~np.isin(order, near)]
    spread = rest[np.linspace(0, len(rest) - 1, count - len(near)).astype(int)]
    return np.sort(np.concatenate([near, spread]))


def logit(accuracies: Array) -> Array:
    """log(p / (1 - p)), with p kept off 0 and 1."""
    clipped = np.clip(accuracies, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _matern(first: Array, second: Array | None = None) -> tuple[Array, Array]:
    """Matern 5/2 of scaled features, and -2 times its derivative by the squared distance."""
    second = first if second is None else second
    squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2.0 * first @ second.T
    root = np.sqrt(5.0 * np.maximum(squared, 0.0))
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, (5.0 / 3.0) * (1.0 + root) * decay


def _most_probable(features: Array, targets: Array) -> Array:
    """Logs of signal variance, length scales and noise variance at the mode of their posterior."""
    count, dims = features.shape
    mean = np.array([SIGNAL[0], *[LENGTH[0]] * dims, NOISE[0]])
    sd = np.array([SIGNAL[1], *[LENGTH[1]] * dims, NOISE[1]])

    def negative_log_posterior(theta: Array) -> tuple[float, Array]:
        signal, lengths, noise = np.exp(theta[0]), np.exp(theta[1:-1]), np.exp(theta[-1])
        scaled = features / lengths
        kernel, slope = _matern(scaled)
        covariance = signal * kernel
        covariance.flat[:: count + 1] += noise + JITTER
        try:
            factor = cho_factor(covariance, lower=True)
        except LinAlgError:
            return 1e10, np.zeros_like(theta)
        weights = cho_solve(factor, targets)
        outer = cho_solve(factor, np.eye(count)) - np.outer(weights, weights)
        pull = signal * outer * slope
        # sum_ij pull_ij (x_id - x_jd)^2 for every feature d, without an (N, N, D) array.
        by_length = pull.sum(axis=1) @ scaled**2 - np.einsum("nd,nd->d", scaled, pull @ scaled)
        gradient = np.array(
            [0.5 * signal * (outer * kernel).sum(), *by_length, 0.5 * noise * np.trace(outer)]
        )
        off = (theta - mean) / sd
        value = 0.5 * targets @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
        return float(value), gradient + off / sd

    bounds = [(np.log(0.05), np.log(50.0)), *[(np.log(0.05), np.log(1e3))] * dims]
    result = minimize(
        negative_log_posterior,
        mean,
        jac=True,
        method="L-BFGS-B",
        bounds=[*bounds, (np.log(1e-6), 0.0)],
        options={"maxiter": ITERATIONS},
    )
    return np.asarray(result.x)
