"""What a confirmation found: networks of a run trained again by other seeds, read from confirm.db.

Statistics are those of `posterior.py` and `ranking.py`; nothing here trains or writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from results.posterior import Estimates, membership, misordering, rivals
from results.ranking import LEAST_NETWORKS, Tau, rank_agreement
from results.record import TrialRecord, record_from_trial
from results.study_file import CONFIRM_FILE, read_study

if TYPE_CHECKING:
    from results.run import Run

CONFIRM_WEIGHTS = "confirm-weights"  # the folder of a run that they are kept in
CONFIDENCE = 0.95  # an order is known where it is wrong with 1 - this at most
LIKELY = 0.5  # the least probability of a network that is called confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedNetwork:
    """A network and its trainings by other seeds. `role`: why it was chosen; `weight`: of how many
    networks it is one drawn; `probability`: to be on the confirmed staircase."""

    record: TrialRecord  # of the search
    role: str
    weight: float
    trainings: tuple[TrialRecord, ...]  # complete ones
    failed: int
    probability: float
    error: float | None  # standard error of the mean
    on_staircase: bool  # of the means

    @property
    def accuracies(self) -> list[float]:
        return [training.accuracy or 0.0 for training in self.trainings]

    @property
    def mean(self) -> float | None:
        """Mean validation accuracy; None before the first training."""
        return float(np.mean(self.accuracies)) if self.trainings else None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.trainings) > 1 else None

    @property
    def test_accuracy(self) -> float | None:
        """Mean over the trainings that were tested."""
        known = [t.test_accuracy for t in self.trainings if t.test_accuracy is not None]
        return float(np.mean(known)) if known else None

    @property
    def is_confirmed(self) -> bool:
        """Whether it is on the staircase of means, and rather so than not."""
        return self.on_staircase and self.probability >= LIKELY


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A confirmation, finished or under way. `networks` by FLOPs; `options`: seeds, epochs and so
    on; `ended`: why it ended."""

    networks: tuple[ConfirmedNetwork, ...]
    estimates: Estimates
    options: Mapping[str, Any]
    finished: bool
    ended: str | None

    @cached_property
    def by_trial(self) -> dict[int, ConfirmedNetwork]:
        return {network.record.trial: network for network in self.networks}

    @property
    def staircase(self) -> list[ConfirmedNetwork]:
        """Those on the staircase of confirmed means, cheapest first."""
        return [network for network in self.networks if network.on_staircase]

    @property
    def best(self) -> ConfirmedNetwork | None:
        """The network with the highest confirmed mean."""
        return self.staircase[-1] if self.staircase else None

    def unconfirmed(self, front: Sequence[TrialRecord]) -> set[int]:
        """The trials of `front` that are not confirmed, trained again or not."""
        found = self.by_trial
        return {r.trial for r in front if r.trial not in found or not found[r.trial].is_confirmed}

    @cached_property
    def taus(self) -> tuple[Tau, Tau] | None:
        """Kendall's tau of proxy accuracy and confirmed mean, overall and at fixed cost."""
        known = [network for network in self.networks if network.trainings]
        columns = [
            (n.record.accuracy or 0.0, n.mean or 0.0, n.record.flops, n.weight) for n in known
        ]
        return rank_agreement(*np.array(columns, float).T) if columns else None

    @cached_property
    def not_told_apart(self) -> list[tuple[int, int]]:
        """Neighbours on the staircase, by trial, whose order is wrong with over 5 %."""
        at = [i for i, network in enumerate(self.networks) if network.on_staircase]
        pairs = list(zip(at[1:], at[:-1], strict=True))
        wrong = misordering(self.estimates, pairs)
        return [
            (self.networks[cheap].record.trial, self.networks[costly].record.trial)
            for (costly, cheap), chance in zip(pairs, wrong, strict=True)
            if chance > 1 - CONFIDENCE
        ]

    @property
    def verdict(self) -> str:
        """Whether the proxy could be trusted, and who is not told apart: one sentence."""
        known = sum(bool(network.trainings) for network in self.networks)
        if self.taus is None:
            few = f"{known} networks are confirmed" if known < LEAST_NETWORKS else "all are tied"
            said = (
                f"Whether the proxy could be trusted cannot be said ({few}, at least "
                f"{LEAST_NETWORKS} are needed)"
            )
        else:
            overall, fixed = self.taus
            figures = f"tau {_interval(overall)}, at fixed cost {_interval(fixed)}"
            if fixed.low > 0:
                said = f"The proxy could be trusted, also among networks of equal cost ({figures})"
            elif overall.low > 0:
                said = (
                    "The proxy could be trusted to tell cheap from costly networks, which FLOPs do "
                    f"as well, not among those of equal cost ({figures})"
                )
            else:
                said = f"The proxy could not be trusted ({figures})"
        if not self.not_told_apart:
            return f"{said}; neighbours on the confirmed staircase are all told apart."
        pairs = ", ".join(f"{a} and {b}" for a, b in self.not_told_apart)
        return f"{said}; not told apart are trials {pairs}."


def read_confirmed(run: Run) -> Confirmed | None:
    """The confirmation of a run; None if there is none. Raises ValueError if it cannot be read."""
    file = run.path / CONFIRM_FILE
    if not file.is_file() or not file.stat().st_size:
        return None
    trials, attrs = read_study(run.path, run.name, None, kept=CONFIRM_FILE)
    if not attrs.get("networks"):
        return None  # it has only just begun
    records = [(trial.params, record_from_trial(trial, attrs)) for trial in trials]
    by_network: dict[int, list[TrialRecord]] = {}
    for params, record in records:
        if record is not None and "trial" in params:
            by_network.setdefault(int(params["trial"]), []).append(record)
    return confirmed_of(run, attrs["networks"], by_network, attrs)


def confirmed_of(
    run: Run,
    chosen: Sequence[Mapping[str, Any]],
    trainings: Mapping[int, Sequence[TrialRecord]],
    attrs: Mapping[str, Any],
) -> Confirmed:
    """Of what was chosen (trial, role, weight) and the trainings of each, by trial."""
    by_trial = {record.trial: record for record in run.records}
    rows = [row for row in chosen if row["trial"] in by_trial]
    rows.sort(key=lambda row: (by_trial[row["trial"]].flops, row["trial"]))
    complete = [
        tuple(t for t in trainings.get(row["trial"], ()) if _is_complete(t)) for row in rows
    ]
    estimates = Estimates.of(
        [by_trial[row["trial"]].flops for row in rows],
        [[t.accuracy or 0.0 for t in done] for done in complete],
        images=max(run.images or 0, 1),
    )
    shares, errors, stairs = membership(estimates), estimates.error(), staircase(estimates)
    networks = tuple(
        ConfirmedNetwork(
            record=by_trial[row["trial"]],
            role=str(row["role"]),
            weight=float(row["weight"]),
            trainings=complete[i],
            failed=sum(t.state == "failed" for t in trainings.get(row["trial"], ())),
            probability=float(shares[i]),
            error=float(errors[i]) if complete[i] else None,
            on_staircase=i in stairs,
        )
        for i, row in enumerate(rows)
    )
    return Confirmed(
        networks=networks,
        estimates=estimates,
        options=dict(attrs.get("options") or {}),
        finished=bool(attrs.get("finished")),
        ended=attrs.get("ended"),
    )


def staircase(estimates: Estimates) -> set[int]:
    """The networks whose mean is above that of all that cost no more."""
    beaten = {
        network
        for network, rival in rivals(estimates)
        if not estimates.mean[network] > estimates.mean[rival]
        and _comes_first(estimates, rival, network)
    }
    return {int(i) for i in np.flatnonzero(estimates.count > 0)} - beaten


def _comes_first(estimates: Estimates, rival: int, network: int) -> bool:
    """Of equal means and equal FLOPs, the one that stands first is kept."""
    equal = estimates.flops[rival] == estimates.flops[network]
    return not (equal and estimates.mean[rival] == estimates.mean[network] and network < rival)


def _is_complete(record: TrialRecord) -> bool:
    accuracy = record.accuracy
    return record.state == "complete" and accuracy is not None and math.isfinite(accuracy)


def _interval(tau: Tau) -> str:
    return f"{tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"
