"""How often the surrogate's 90 % intervals hold, and how it ranks, beside log cost alone.

    python benchmarks/intervals.py [--tables NAMES] [--observed 10 20 40] [--seeds 8]

A surrogate sees one run of some networks of a table, drawn at random, and says between what one run
of the others lies. Prints the share that does, and Spearman's correlation of its mean with the
truth; prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from scipy.stats import spearmanr

from benchmarks.search_efficiency import load_table
from benchmarks.tabular import Table
from search.decide.surrogate import fitted

TABLES = (
    "benchmarks/tables/digits.json,benchmarks/tables/cifar.json,"
    "benchmarks/tables/nas_bench_macro_cifar10.json,synthetic:0,noisy:0"
)
MOST = 500  # unseen networks that are judged


def judged(table: Table, *, observed: int, seed: int) -> tuple[float, float, float]:
    """(share of runs in their interval, rank correlation of the mean, that of log cost)."""
    rng = np.random.default_rng((seed, observed))
    rows = rng.permutation(table.fitting)
    seen, unseen = rows[:observed], rows[observed : observed + MOST]
    features = table.features - table.features[table.fitting].min(axis=0)
    spans = np.ptp(table.features[table.fitting], axis=0)
    features = features / np.where(spans > 0.0, spans, 1.0)
    costs = np.log10(table.cost)

    def runs(rows: np.ndarray) -> np.ndarray:
        return table.accuracy[rows, rng.integers(table.accuracy.shape[1], size=len(rows))]

    surrogate = fitted(features[seen], runs(seen), costs[seen])
    low, high = surrogate.interval(features[unseen])
    told = runs(unseen)
    mean, _ = surrogate.predict(features[unseen])
    truth = table.truth[unseen]
    ranks = (float(spearmanr(guess, truth)[0]) for guess in (mean, costs[unseen]))
    return float(((low <= told) & (told <= high)).mean()), *ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=TABLES)
    parser.add_argument("--observed", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    report: dict[str, object] = {"benchmark": "intervals", "seeds": options.seeds}
    print(f"{'table':34s}{'observed':>9s}{'held':>7s}{'sd':>6s}{'rank':>7s}{'cost':>7s}")
    for name in options.tables.split(","):
        table = load_table(name, 60e6, 0.85)
        for count in options.observed:
            told = np.array(
                [judged(table, observed=count, seed=seed) for seed in range(options.seeds)]
            )
            held, rank, cost = told.mean(axis=0).round(3).tolist()
            spread = float(told[:, 0].std(ddof=1))
            report[f"{table.name}, {count}"] = {"held": held, "rank": rank, "rank of cost": cost}
            print(
                f"{table.name:34s}{count:9d}{held:7.2f}{spread:6.2f}{rank:7.2f}{cost:7.2f}",
                flush=True,
            )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
