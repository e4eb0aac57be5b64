"""Which networks of a search are trained again, and which of them next. No Ray, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results import TrialRecord, pareto_front
from results.posterior import Array, Estimates, membership, misordering, rivals

NEAR = 0.1  # the least probability, by the search's accuracies, of what is nearly a member
LEAST_DEGREES = 6.0  # of freedom of the dispersion before an order is taken to be known
LEADERS = 3  # budgets within which the most accurate member is confirmed before others
ROLES = ("member", "baseline", "near", "control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A network to confirm. `weight`: of how many networks it is one drawn."""

    trial: int
    role: str
    weight: float = 1.0


def choose(
    records: Sequence[TrialRecord],
    *,
    budget: int,
    images: int,
    top: int | None,
    controls: int,
    seed: int,
) -> list[Chosen]:
    """Members of the frontier and what may be one, baselines, and controls among the others; by
    role. `top`: the most of members and near-members, first the leaders, then the most probable."""
    known = [r for r in records if r.state == "complete" and r.accuracy is not None]
    known = [r for r in known if r.flops <= budget]
    if not known:
        return []
    members = pareto_front(known, budget_flops=budget)
    front, first = {record.trial for record in members}, leaders(members, budget)
    estimates = Estimates.binomial(
        [r.flops for r in known], [r.accuracy or 0.0 for r in known], images=images
    )
    share = {r.trial: p for r, p in zip(known, membership(estimates, seed=seed), strict=True)}
    probable = [r.trial for r in known if r.trial in front or share[r.trial] >= NEAR]
    probable.sort(key=lambda trial: (trial not in first, -share[trial], trial))
    chosen = [
        Chosen(trial=trial, role="member" if trial in front else "near") for trial in probable[:top]
    ]
    taken = {c.trial for c in chosen}
    chosen += [
        Chosen(trial=r.trial, role="baseline")
        for r in known
        if r.baseline is not None and r.trial not in taken
    ]
    taken |= {c.trial for c in chosen}
    others = [r for r in known if r.trial not in taken]
    flops = np.array([r.flops for r in others], float)
    drawn = evenly(flops, controls, seed=seed)
    chosen += [
        Chosen(trial=others[i].trial, role="control", weight=1 / chance) for i, chance in drawn
    ]
    return sorted(chosen, key=lambda c: ROLES.index(c.role))


def leaders(members: Sequence[TrialRecord], budget: int) -> set[int]:
    """Of a staircase, cheapest first, the most accurate member within each of `LEADERS` budgets
    that stand evenly over log FLOPs up to `budget`."""
    low = members[0].flops
    budgets = [low * (budget / low) ** (k / LEADERS) for k in range(1, LEADERS + 1)]
    return {[r.trial for r in members if r.flops <= limit * (1 + 1e-9)][-1] for limit in budgets}


def evenly(flops: Array, count: int, *, seed: int) -> list[tuple[int, float]]:
    """(index, probability of being drawn) of `count` networks drawn evenly over log FLOPs."""
    # Systematic sampling with probabilities proportional to the stretch of log FLOPs to which a
    # network is the nearest.
    if count >= len(flops):
        return [(i, 1.0) for i in range(len(flops))]
    if count == 0:
        return []
    order = np.argsort(flops, kind="stable")
    at = np.log(flops[order])
    middles = np.concatenate([at[:1], (at[1:] + at[:-1]) / 2, at[-1:]])
    # Of equal FLOPs, and where all are, each has a little.
    stretch = np.diff(middles) + max(float(at[-1] - at[0]), 1.0) / (100 * len(at))
    chance = capped(stretch, count)
    start = np.random.default_rng((seed, 3)).uniform()
    ends = np.cumsum(chance)
    places = np.searchsorted(ends, start + np.arange(count), side="right")
    places = np.unique(np.minimum(places, len(at) - 1))
    return [(int(order[place]), float(chance[place])) for place in places]


def capped(stretch: Array, count: int) -> Array:
    """Probabilities proportional to `stretch`, none above 1, that sum up to `count`."""
    chance = np.zeros(len(stretch))
    sure = np.zeros(len(stretch), bool)
    while True:
        left = count - sure.sum()
        chance = np.where(sure, 1.0, left * stretch / stretch[~sure].sum())
        over = (chance > 1) & ~sure
        if not over.any():
            return np.asarray(chance)
        sure |= over


def open_orders(estimates: Estimates, *, confidence: float) -> list[tuple[int, int]]:
    """The pairs of a network and its best cheaper rival whose order is not known with
    `confidence`, the least known first; all, until the dispersion is known."""
    pairs = rivals(estimates)
    wrong = misordering(estimates, pairs)
    few = estimates.degrees < LEAST_DEGREES
    ranked = sorted(zip(-wrong, pairs, strict=True))
    return [pair for chance, pair in ranked if few or -chance > 1 - confidence]


def next_network(
    estimates: Estimates, pending: Array, attempts: Array, *, most: int, confidence: float
) -> int | None:
    """Which network to train once more; None if there is none now. (N,) `pending`: trainings under
    way; `attempts`: begun in all, at most `most` each."""
    may = attempts < most
    untrained = np.flatnonzero((estimates.count + pending == 0) & may)
    if len(untrained):
        return int(untrained[0])
    pairs = open_orders(estimates, confidence=confidence)
    hopeful = misordering(estimates, pairs, pending)
    expected = estimates.degrees + np.maximum(estimates.count + pending - 1, 0).sum()
    expected -= np.maximum(estimates.count - 1, 0).sum()
    error = estimates.error(pending)
    for place in np.argsort(-hopeful, kind="stable"):
        if hopeful[place] <= 1 - confidence and expected >= LEAST_DEGREES:
            return None  # what is under way may settle it
        able = [network for network in pairs[place] if may[network]]
        if able:
            return max(able, key=lambda network: error[network])
    return None
