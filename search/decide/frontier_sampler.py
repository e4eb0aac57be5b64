"""`FrontierSampler`: an Optuna sampler for accuracy against a cost that is known beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.decide.acquisition import Staircase, expected_gain, staircase
from search.decide.candidates import Candidate, Candidates
from search.decide.known_cost import Item, Params, Problem, is_choice
from search.decide.surrogate import Surrogate, fitted

Array = NDArray[np.float64]

STRATA = 8  # bands of log cost, each of which is tried once before the surrogate is asked
FEWEST = 3  # ... and it is not asked with fewer observations
CAUTION = 0.5  # the surrogate's standard deviation counts that much, see `_by_expected_gain`
REFINED = 8  # the best candidates, whose neighbours are candidates too
_CHOICE_STREAM, _ORDER_STREAM = 3, 4


class SpaceExhaustedError(RuntimeError):
    """Every item that fits has been tried. The trial that was asked for is told as failed."""


@dataclass(slots=True)
class History(Generic[Item]):
    """What a study says: what was tried, what came out, what is not known yet."""

    tried: dict[Hashable, Candidate[Item]] = field(default_factory=dict)
    complete: list[Candidate[Item]] = field(default_factory=list)
    pending: list[Candidate[Item]] = field(default_factory=list)
    # What the surrogate is fitted to: (candidate, accuracy, epochs; None if not known).
    observations: list[tuple[Candidate[Item], float, int | None]] = field(default_factory=list)
    full_epochs: int = 0


class FrontierSampler(BaseSampler):
    """Proposes the untried item expected to add most to the accuracy/cost frontier. Directions:
    ["maximize", "minimize"], accuracy in [0, 1]. Raises SpaceExhaustedError if none is left, at
    construction ValueError if nothing fits."""

    # The gain in hypervolume over log cost, above `reference_accuracy` and up to the budget, is in
    # closed form, since the cost (`problem`'s) is exact and the accuracy comes from a Gaussian
    # process. The first picks are spread over log cost, then vary what they have left alike.
    # Read from the study: COMPLETE trials (but not those with the user attribute `state`
    # "over_budget" or "duplicate"); PRUNED ones by their user attribute `curve`, a list of
    # {"epoch", "accuracy"}, as observations after fewer epochs; RUNNING and WAITING ones as if the
    # surrogate's belief came true; FAIL as tried. No other state: the same study and `seed` give
    # the same proposal. Never proposes what was tried.

    def __init__(
        self, problem: Problem[Any], *, seed: int = 0, reference_accuracy: float = 0.0
    ) -> None:
        if not 0.0 <= reference_accuracy < 1.0:
            raise ValueError(f"`0 <= reference_accuracy < 1` must hold: {reference_accuracy!r}.")
        self._problem, self._seed, self._reference = problem, seed, reference_accuracy
        self._candidates = Candidates(problem, seed=seed)
        self._end = float(np.log10(problem.budget))
        self._described: dict[tuple[Any, ...], Candidate[Any]] = {}
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._problem.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if study.directions != [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]:
            raise ValueError(
                '`directions` of the study must be ["maximize", "minimize"] (accuracy, cost), but '
                f"are {[direction.name.lower() for direction in study.directions]}."
            )
        try:
            return self._problem.encode(self._choose(self._read(study, trial), trial.number).item)
        except SpaceExhaustedError:
            study.tell(trial.number, state=TrialState.FAIL)
            raise

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    # ---- reading the study ---------------------------------------------------------------------

    def _read(self, study: Study, current: FrozenTrial) -> History[Any]:
        history: History[Any] = History()
        curves: list[tuple[Candidate[Any], FrozenTrial, dict[int, float]]] = []
        for trial in study.get_trials(deepcopy=False):
            params = trial.params or trial.system_attrs.get("fixed_params") or {}
            state = trial.user_attrs.get("state")
            if trial.number == current.number or not params or state == "over_budget":
                continue
            candidate = self._describe(params)
            if candidate is None:  # added by hand
                continue
            history.tried.setdefault(candidate.key, candidate)
            if trial.state in (TrialState.RUNNING, TrialState.WAITING):
                history.pending.append(candidate)
            elif trial.state != TrialState.FAIL and state != "duplicate":
                curves.append((candidate, trial, _curve(trial)))
        _observe(history, curves)
        return history

    def _describe(self, params: Params) -> Candidate[Any] | None:
        """What parameters stand for; None if they are not those of the problem."""
        known = self._problem.distributions
        spelling = tuple(map(params.get, known))
        try:
            described = self._described.get(spelling)
        except TypeError:  # a list
            return None
        if described is None:
            whole = all(n in params and is_choice(params[n], d) for n, d in known.items())
            if not whole:
                return None
            self._described[spelling] = self._candidates.describe(self._problem.decode(params))
        return self._described[spelling]

    # ---- choosing ------------------------------------------------------------------------------

    def _choose(self, history: History[Any], number: int) -> Candidate[Any]:
        rng = np.random.default_rng((self._seed, _CHOICE_STREAM, number))
        pool = [c for c in self._candidates.at_random(number) if c.key not in history.tried]
        if not pool:
            pool = self._candidates.left(history.tried.keys())
        if not pool:
            raise SpaceExhaustedError(
                f"Every item that fits the budget of {self._problem.budget:g} has been tried "
                f"({len(history.tried)})."
            )
        first = self._stratum(history, pool) or _unlike(history, pool)
        if first:
            return first[int(rng.integers(len(first)))]
        return self._by_expected_gain(history, pool, rng)

    def _stratum(
        self, history: History[Any], pool: list[Candidate[Any]]
    ) -> list[Candidate[Any]] | None:
        """Candidates of the band of log cost that was tried least; `None` once the surrogate knows
        enough to be asked."""
        tried = Counter(self._band(candidate.log_cost) for candidate in history.tried.values())
        bands: dict[int, list[Candidate[Any]]] = {}
        for candidate in pool:
            bands.setdefault(self._band(candidate.log_cost), []).append(candidate)
        order = np.random.default_rng((self._seed, _ORDER_STREAM)).permutation(STRATA)
        least = min((band for band in order.tolist() if band in bands), key=lambda b: tried[b])
        untried_band = tried[least] == 0 and len(history.tried) < 2 * STRATA
        return bands[least] if untried_band or len(history.complete) < FEWEST else None

    def _band(self, log_cost: float) -> int:
        low, high = self._candidates.lowest_cost, self._candidates.highest_cost
        place = (log_cost - low) / (high - low) if high > low else 0.0
        return round(min(max(place, 0.0), 1.0) * (STRATA - 1))

    def _by_expected_gain(
        self, history: History[Any], pool: list[Candidate[Any]], rng: np.random.Generator
    ) -> Candidate[Any]:
        """The candidate of largest expected gain."""
        # The staircase is that of the posterior means, so that one lucky seed does not hide what is
        # better. The standard deviation is taken times `CAUTION`: a gain that rests on not knowing
        # is spread over all that is not known, and one trial realises little of it.
        surrogate = _fit(history)
        if history.pending:
            surrogate.believe(_inputs(history.pending, history))
        known = history.complete + history.pending
        believed, _ = surrogate.predict(_inputs(known, history))
        front = staircase(_costs(known), believed, reference=self._reference, end=self._end)
        parents = [known[i].item for i in _corners(known, believed)]
        pool = pool + self._new(self._candidates.near(parents, rng), history, pool)
        gains = self._gains(pool, surrogate, front, history)
        best = [pool[i].item for i in np.argsort(-gains, kind="stable")[:REFINED]]
        more = self._new(self._candidates.near(best, rng, count=4 * REFINED), history, pool)
        if more:
            pool = pool + more
            gains = np.append(gains, self._gains(more, surrogate, front, history))
        if not gains.max() > 0.0:
            return pool[int(rng.integers(len(pool)))]
        return pool[int(gains.argmax())]

    def _new(
        self, found: list[Candidate[Any]], history: History[Any], pool: list[Candidate[Any]]
    ) -> list[Candidate[Any]]:
        seen = {candidate.key for candidate in pool} | history.tried.keys()
        return [candidate for candidate in found if candidate.key not in seen]

    def _gains(
        self,
        candidates: list[Candidate[Any]],
        surrogate: Surrogate,
        front: Staircase,
        history: History[Any],
    ) -> Array:
        mean, sd = surrogate.predict(_inputs(candidates, history))
        return expected_gain(_costs(candidates), mean, CAUTION * sd, front)


def _unlike(history: History[Any], pool: list[Candidate[Any]]) -> list[Candidate[Any]]:
    """Candidates that differ from all that was tried in most of the features in which those tried
    do not differ: the surrogate cannot know what these are worth. None once all have been varied,
    or enough was tried without."""
    if len(history.tried) >= 2 * STRATA:
        return []
    tried = np.array([candidate.features for candidate in history.tried.values()])
    alike = np.ptp(tried, axis=0) == 0.0
    features = np.array([candidate.features for candidate in pool])
    counts = (features[:, alike] != tried[0, alike]).sum(axis=1)
    most = counts.max()
    return [pool[i] for i in np.flatnonzero(counts == most)] if most else []


def _costs(candidates: list[Candidate[Any]]) -> Array:
    return np.array([candidate.log_cost for candidate in candidates])


def _curve(trial: FrozenTrial) -> dict[int, float]:
    """Accuracy by epoch, as far as it is a number."""
    curve = trial.user_attrs.get("curve") or []
    pairs = ((point.get("epoch"), point.get("accuracy")) for point in curve)
    return {int(e): float(a) for e, a in pairs if e and a is not None and np.isfinite(a)}


def _observe(
    history: History[Any],
    curves: list[tuple[Candidate[Any], FrozenTrial, dict[int, float]]],
) -> None:
    """Complete trials at their value and, if there are stopped ones, also at the epoch most of
    these were stopped at, so that the surrogate can learn what the rest of a training adds."""
    finished = [entry for entry in curves if entry[1].state == TrialState.COMPLETE]
    stopped = [entry for entry in curves if entry[1].state == TrialState.PRUNED and entry[2]]
    history.full_epochs = max((max(curve, default=0) for _, _, curve in finished), default=0)
    ends = Counter(max(curve) for _, _, curve in stopped if max(curve) < history.full_epochs)
    usual = ends.most_common(1)[0][0] if ends else None
    for candidate, trial, curve in finished:
        history.complete.append(candidate)
        history.observations.append((candidate, float(trial.values[0]), None))
        if usual in curve:
            history.observations.append((candidate, curve[usual], usual))
    for candidate, _, curve in stopped:
        epoch = max(curve)
        if epoch < history.full_epochs:
            history.observations.append((candidate, curve[epoch], epoch))


def _inputs(
    candidates: list[Candidate[Any]],
    history: History[Any],
    epochs: list[int | None] | None = None,
) -> Array:
    """Features (N, D), and with stopped trials in the study a column: 0 at all epochs, 1 at one."""
    features = np.array([candidate.features for candidate in candidates])
    if all(seen is None for _, _, seen in history.observations):
        return features
    full = history.full_epochs
    missing = [
        0.0 if seen is None else 1.0 - np.log(seen) / np.log(full)
        for seen in epochs or [None] * len(candidates)
    ]
    return np.column_stack([features, missing])


def _fit(history: History[Any]) -> Surrogate:
    candidates = [candidate for candidate, _, _ in history.observations]
    inputs = _inputs(candidates, history, [epochs for _, _, epochs in history.observations])
    accuracies = np.array([accuracy for _, accuracy, _ in history.observations])
    return fitted(inputs, accuracies, _costs(candidates))


def _corners(known: list[Candidate[Any]], believed: Array) -> Iterator[int]:
    """Indices of the known that no other is believed to beat at its cost."""
    best = -np.inf
    for i in sorted(range(len(known)), key=lambda i: (known[i].log_cost, -believed[i])):
        if believed[i] > best:
            best = believed[i]
            yield i
