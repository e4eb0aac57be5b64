"""Hypervolume over spent training compute, on real trainings of digits.

    python benchmarks/search_compute.py [--trials 24] [--seeds 5] [--epochs 10] [--keep FOLDER]

Each search is a run of the command line, without baselines. Compute is what its trials trained, in
epochs x images x forward FLOPs, in the order in which they ended; the hypervolume counts complete
trials only. A run that --keep FOLDER already holds is read, not repeated; those without early
stopping also go into `early_stopping.py --runs`. Draws `search_compute.svg`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from results import hypervolume, load_run  # noqa: E402

BUDGET = 2_000_000
GRID = [i / 100 for i in range(1, 101)]  # compute, as a share of random search's
SHOWN = [0.1, 0.2, 0.5, 1.0]
# Words of the command line, and how many trials for one of random search: what TPE and ours pick
# is cheaper, so that more of it is as much compute; stopped trials leave room for yet more.
SEARCHES = {
    "random": (["--sampler", "random", "--no-early-stopping"], 1.0),
    "tpe": (["--sampler", "tpe", "--no-early-stopping"], 2.0),
    "frontier": (["--sampler", "frontier", "--no-early-stopping"], 2.0),
    "frontier + early stopping": (["--sampler", "frontier"], 3.0),
}


def run_search(out: Path, words, seed: int, trials: int, epochs: int) -> None:
    """One search, unless it is there."""
    if (out / "report.html").exists():
        return
    command = [sys.executable, "-m", "search", "search", "--budget", BUDGET, "--trials", trials]
    command += [
        "--space",
        "digits",
        "--no-baselines",
        "--seed",
        seed,
        "--workers",
        2,
        "--epochs",
        epochs,
    ]
    command += ["--out", out, *words]
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


def volume_at(steps, compute):
    """The hypervolume when that much compute is spent."""
    return max((volume for spent, volume in steps if spent <= compute), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        runs = {}
        for seed in range(arguments.seeds):
            for name, (words, more) in SEARCHES.items():
                out = folder / f"{name.replace(' ', '')}-{seed}"
                run_search(out, words, seed, round(more * arguments.trials), arguments.epochs)
                runs[name, seed] = load_run(out)
                steps = progress(runs[name, seed])
                print(f"{name} seed {seed}: {steps[-1][1]:.4f} for {steps[-1][0]:.3g}", flush=True)
    rows, curves = {}, []
    ends = {seed: progress(runs["random", seed])[-1] for seed in range(arguments.seeds)}
    for name in SEARCHES:
        steps = [progress(runs[name, seed]) for seed in range(arguments.seeds)]
        needed = [
            compute and compute / ends[seed][0]
            for seed, compute in enumerate(
                compute_to_reach(steps[seed], ends[seed][1]) for seed in range(arguments.seeds)
            )
        ]
        # Every search on its own seed's scale: 1 is all that random search spent and reached.
        relative = [
            [volume_at(steps[seed], share * ends[seed][0]) / ends[seed][1] for share in GRID]
            for seed in range(arguments.seeds)
        ]
        mean = [statistics.mean(column) for column in zip(*relative, strict=True)]
        curves += [
            {"search": name, "compute": share, "hypervolume": value}
            for share, value in zip(GRID, mean, strict=True)
        ]
        rows[name] = {
            "stopped": sum(runs[name, seed].count("stopped") for seed in ends),
            "trials": sum(len(runs[name, seed].records) for seed in ends),
            "spent": round(statistics.mean(steps[seed][-1][0] / ends[seed][0] for seed in ends), 3),
            "hypervolume": {share: round(mean[GRID.index(share)], 4) for share in SHOWN},
            "compute_to_reach_random": [share and round(share, 3) for share in needed],
            "mean": round(statistics.mean(needed), 3) if None not in needed else None,
        }
    draw(curves, ROOT / "benchmarks" / "search_compute.svg")
    shares = "".join(f"{share:>8g}" for share in SHOWN)
    print(f"{'compute / random search':28}{shares}   to reach it   spent")
    for name, row in rows.items():
        values = "".join(f"{value:8.3f}" for value in row["hypervolume"].values())
        print(f"{name:28}{values}   {row['mean'] or '-':>11}   {row['spent']:5.2f}")
    print(json.dumps({
        "benchmark": "search_compute", "trials": arguments.trials, "seeds": arguments.seeds,
        "epochs": arguments.epochs, "budget": BUDGET, "searches": rows,
    }))  # fmt: skip


def draw(curves, path: Path) -> None:
    """Hypervolume over spent compute as SVG, both as shares of random search's at its end."""
    import altair as alt
    import pandas as pd

    base = alt.Chart(pd.DataFrame(curves), title="Digits, mean of the seeds")
    lines = base.properties(width=520, height=320).mark_line(interpolate="step-after")
    lines.encode(
        x=alt.X("compute:Q", title="training compute / random search's in all"),
        y=alt.Y(
            "hypervolume:Q", title="hypervolume / random search's at its end",
            scale=alt.Scale(zero=False),
        ),
        color=alt.Color("search:N", sort=list(SEARCHES)),
    ).save(str(path))  # fmt: skip


if __name__ == "__main__":
    main()
