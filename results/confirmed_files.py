"""confirmed.json and confirmed.csv: what a confirmation found, for machines and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from results.confirmed import CONFIDENCE, LIKELY, Confirmed, ConfirmedNetwork
from results.posterior import PRIOR_DEGREES
from results.ranking import Tau
from results.run import Run

METHOD = (
    "normal posterior with a flat prior; the variance of one training is a dispersion, pooled over "
    f"all networks and begun with {PRIOR_DEGREES:g} degrees of freedom at 1, times p(1-p)/images"
)


def confirmed_json(run: Run, found: Confirmed) -> str:
    """Schema 1: fields may be added. Accuracies are fractions, networks are sorted by FLOPs."""
    best = found.best
    values = {
        "schema": 1,
        "run": run.name,
        "finished": found.finished,
        "ended": found.ended,
        "options": dict(found.options),
        "method": METHOD,
        "confidence": CONFIDENCE,
        "least_probability_of_confirmed": LIKELY,
        "dispersion": found.estimates.dispersion,
        "verdict": found.verdict,
        "tau": _tau(found.taus[0]) if found.taus else None,
        "tau_at_fixed_cost": _tau(found.taus[1]) if found.taus else None,
        "not_told_apart": [list(pair) for pair in found.not_told_apart],
        "unconfirmed": sorted(run.unconfirmed),
        "best": None if best is None else best.record.trial,
        "networks": [network_row(network) for network in found.networks],
    }
    return json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def confirmed_csv(found: Confirmed) -> str:
    """One line a network, UTF-8, with the columns of confirmed.json."""
    rows = [network_row(network) for network in found.networks]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        joined = {name: " ".join(map(str, row[name])) for name in ("accuracies", "seeds")}
        flags = {name: str(row[name]).lower() for name in ("on_staircase", "confirmed")}
        writer.writerow(row | joined | flags)
    return text.getvalue()


_COLUMNS = (
    "trial flops params role baseline weight proxy_accuracy n mean std error probability "
    "on_staircase confirmed test_accuracy failed accuracies seeds"
).split()


def network_row(network: ConfirmedNetwork) -> dict[str, Any]:
    """A network as plain values."""
    record = network.record
    return {
        "trial": record.trial,
        "flops": record.flops,
        "params": record.params,
        "role": network.role,
        "baseline": record.baseline,
        "weight": network.weight,
        "proxy_accuracy": record.accuracy,
        "n": len(network.trainings),
        "mean": network.mean,
        "std": network.std,
        "error": network.error,
        "probability": network.probability,
        "on_staircase": network.on_staircase,
        "confirmed": network.is_confirmed,
        "test_accuracy": network.test_accuracy,
        "failed": network.failed,
        "accuracies": network.accuracies,
        "seeds": [training.seed for training in network.trainings],
    }


def _tau(tau: Tau) -> dict[str, float]:
    return {"value": tau.value, "low": tau.low, "high": tau.high}
