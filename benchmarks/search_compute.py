"""Hypervolume over spent training compute, on real trainings of digits.

    python benchmarks/search_compute.py [--trials 24] [--seeds 5] [--keep FOLDER]

Each search is a run of the command line, without baselines. Compute is what its trials trained, in
epochs x images x forward FLOPs, in the order in which they ended; the hypervolume counts complete
trials only. A run that --keep FOLDER already holds is read, not repeated. Also says which members
of the frontiers of the unstopped runs early stopping would have ended, over many orders.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from results import hypervolume, load_run, pareto_front  # noqa: E402
from search.halving import HalvingRule  # noqa: E402

BUDGET, ORDERS = 2_000_000, 40
SEARCHES = {
    "random": ["--sampler", "random", "--no-early-stopping"],
    "tpe": ["--sampler", "tpe", "--no-early-stopping"],
    "frontier": ["--sampler", "frontier", "--no-early-stopping"],
    "frontier + early stopping": ["--sampler", "frontier"],
}


def run_search(out: Path, words, seed: int, trials: int) -> None:
    """One search, unless it is there."""
    if (out / "report.html").exists():
        return
    command = [sys.executable, "-m", "search", "search", "--budget", BUDGET, "--trials", trials]
    command += ["--no-baselines", "--seed", seed, "--workers", 2, "--out", out, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        list(map(str, command)), cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL
    )


def progress(run):
    """[(compute spent, hypervolume)] after every trial, in the order in which they ended."""
    images = run.settings["data"]["train"]
    budget, chance = run.reference_point
    spent, seen, steps = 0.0, [], []
    for record in sorted(run.records, key=lambda r: r.started + r.seconds):
        spent += record.epochs * images * record.flops
        seen.append(record)
        volume = hypervolume(seen, budget_flops=budget, reference_accuracy=chance)
        steps.append((spent, volume))
    return steps


def compute_to_reach(steps, volume):
    """Compute after which the hypervolume is at least `volume`; None if it never is."""
    return next((spent for spent, reached in steps if reached >= volume), None)


def killed_share(runs, epochs):
    """Share of frontier members that the rule would have stopped, over random orders of trials."""
    killed = members = 0
    for run in runs:
        complete = [r for r in run.records if r.state == "complete"]
        front = {record.trial for record in pareto_front(complete)}
        for seed in range(ORDERS):
            order = random.Random(seed).sample(complete, len(complete))
            rule = HalvingRule(max_epochs=epochs)
            for record in order:
                goes_on = all(
                    rule.report(
                        record.trial, flops=record.flops, epoch=e.epoch, accuracy=e.accuracy
                    )
                    for e in record.curve
                )
                if record.trial in front:
                    members += 1
                    killed += not goes_on
    return killed / members


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        runs = {}
        for seed in range(arguments.seeds):
            for name, words in SEARCHES.items():
                out = folder / f"{name.replace(' ', '')}-{seed}"
                run_search(out, words, seed, arguments.trials)
                runs[name, seed] = load_run(out)
                steps = progress(runs[name, seed])
                print(f"{name} seed {seed}: {steps[-1][1]:.4f} for {steps[-1][0]:.3g}", flush=True)
    rows, ends = {}, {}
    for seed in range(arguments.seeds):
        ends[seed] = progress(runs["random", seed])[-1]
    for name in SEARCHES:
        shares, finals, spent = [], [], []
        for seed in range(arguments.seeds):
            steps = progress(runs[name, seed])
            needed = compute_to_reach(steps, ends[seed][1])
            shares.append(None if needed is None else needed / ends[seed][0])
            finals.append(steps[-1][1])
            spent.append(steps[-1][0] / ends[seed][0])
        reached = [share for share in shares if share is not None]
        rows[name] = {
            "hypervolume": round(statistics.mean(finals), 4),
            "compute_over_random": round(statistics.mean(spent), 3),
            "compute_share_to_reach_random": [s and round(s, 3) for s in shares],
            "median_share": round(statistics.median(reached), 3) if reached else None,
        }
    unstopped = [run for (name, _), run in runs.items() if "stopping" not in name]
    epochs = unstopped[0].settings["recipe"]["epochs"]
    print(f"{'search':28} {'hypervolume':>12} {'compute':>9} {'to reach random':>16}")
    for name, row in rows.items():
        print(
            f"{name:28} {row['hypervolume']:12.4f} {row['compute_over_random']:9.3f} "
            f"{row['median_share'] if row['median_share'] is not None else '-':>16}"
        )
    print(json.dumps({
        "benchmark": "search_compute", "trials": arguments.trials, "seeds": arguments.seeds,
        "budget": BUDGET, "searches": rows,
        "frontier_members_early_stopping_would_end": round(killed_share(unstopped, epochs), 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
