"""How few trainings find the frontier: samplers and stopping rules on tables of trained networks.

    python benchmarks/search_efficiency.py [--table FILE.json] [--seeds 10] [--part PART]

Prints tables and one line of JSON, and draws `benchmarks/search_efficiency.svg`. An over-budget or
known proposal costs nothing and is told as such, as in the search itself. Nothing of the sampler
was chosen by NAS-Bench-Macro's answers alone: its priors and `CAUTION` are those that did well over
this table at three budgets, the PiT table and synthetic ones, see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one process a core
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
import optuna  # noqa: E402
from optuna.samplers import BaseSampler  # noqa: E402

from benchmarks.halving import priority  # noqa: E402
from benchmarks.tabular import (  # noqa: E402
    MACRO,
    Table,
    TableProblem,
    nas_bench_macro,
    pit,
    synthetic,
    vision_transformers,
)
from search.decide.frontier_sampler import FrontierSampler  # noqa: E402

EVALUATIONS = (10, 20, 30, 50, 75, 100)
SHARE = 0.95
REJECTS = 30  # proposals in a row that cost nothing, until one is drawn at random
PARALLEL = 8
POOL, CUTS = 81, ((27, 0.03), (9, 0.015))  # networks, then (kept, noise of what is seen)
SAMPLERS: dict[str, Callable[[Table, int], BaseSampler]] = {
    "random": lambda table, seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda table, seed: optuna.samplers.TPESampler(seed=seed),
    "tpe multivariate": lambda table, seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, constant_liar=True
    ),
    "nsga2": lambda table, seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
    "gp": lambda table, seed: optuna.samplers.GPSampler(seed=seed),
    "frontier": lambda table, seed: FrontierSampler(
        TableProblem(table), seed=seed, reference_accuracy=table.reference_accuracy
    ),
}
OURS = "frontier"


def search(
    table: Table,
    sampler: str,
    *,
    seed: int,
    workers: int,
    evaluations: int,
    ordered: bool = True,
) -> tuple[list[int], float]:
    """The rows in the order in which they were evaluated, and the seconds a suggestion took."""
    rng = np.random.default_rng((seed, 99))
    problem = TableProblem(table, ordered=ordered)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=SAMPLERS[sampler](table, seed)
    )
    rows: list[int] = []
    accuracies: dict[int, float] = {}
    running: list[tuple[optuna.Trial, int]] = []
    rejected, spent = 0, 0.0
    evaluations = min(evaluations, len(table.fitting))
    while len(rows) < evaluations:
        if len(running) == workers:
            _finish(study, table, running.pop(0), accuracies, rng)
        if rejected and rejected % REJECTS == 0:
            left = np.setdiff1d(table.fitting, rows)
            study.enqueue_trial(problem.encode(int(rng.choice(left))))
        start = time.perf_counter()
        trial = study.ask(problem.distributions)
        spent += time.perf_counter() - start
        row = problem.decode(trial.params)
        log_cost = float(np.log10(table.cost[row]))
        trial.set_constraint("cost over budget", log_cost - float(np.log10(table.budget)))
        if not problem.fits(row):
            trial.set_user_attr("state", "over_budget")
            study.tell(trial, (0.0, log_cost))
            rejected += 1
        elif row in rows:
            known = accuracies.get(row)
            if known is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, (known, log_cost))
            rejected += 1
        else:
            rows.append(row)
            running.append((trial, row))
            rejected = 0
    return rows, spent / len(rows)


def _finish(
    study: optuna.Study,
    table: Table,
    done: tuple[optuna.Trial, int],
    accuracies: dict[int, float],
    rng: np.random.Generator,
) -> None:
    trial, row = done
    accuracies[row] = float(table.accuracy[row, rng.integers(table.accuracy.shape[1])])
    study.tell(trial, (accuracies[row], float(np.log10(table.cost[row]))))


def one_search(job: tuple[Table, str, int, int, bool]) -> tuple[list[float], float]:
    """Share of the best hypervolume after each evaluation, and seconds a suggestion."""
    table, sampler, seed, workers, ordered = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    rows, seconds = search(
        table, sampler, seed=seed, workers=workers, evaluations=max(EVALUATIONS), ordered=ordered
    )
    best = table.hypervolume(table.fitting)
    return [table.hypervolume(rows[: n + 1]) / best for n in range(len(rows))], seconds


def compare(
    table: Table,
    samplers: list[str],
    *,
    seeds: int,
    processes: int,
    workers: tuple[int, ...],
    ordered: bool = True,
) -> dict[str, dict[str, Any]]:
    """For each sampler and number of workers: the mean curve, and when it reaches `SHARE`."""
    results = {}
    with ProcessPoolExecutor(processes) as pool:
        for count in workers:
            for name in samplers:
                jobs = [(table, name, seed, count, ordered) for seed in range(seeds)]
                runs = list(pool.map(one_search, jobs))
                curves = np.array([curve for curve, _ in runs])
                label = name if count == 1 else f"{name} x{count}"
                results[label] = summarise(curves, float(np.mean([sec for _, sec in runs])))
                print(row_of(label, results[label]), flush=True)
    return results


def summarise(curves: Any, seconds: float) -> dict[str, Any]:
    """`curves` (seeds, evaluations). `reached`: evaluations until the mean curve is at `SHARE`;
    `reached_by_seed`: until each seed is; `None` if it is not."""
    curves = np.asarray(curves)

    def first(curve: Any) -> int | None:
        return int(np.argmax(curve >= SHARE)) + 1 if (curve >= SHARE).any() else None

    mean = curves.mean(axis=0)
    return {
        "share": {n: round(float(mean[n - 1]), 4) for n in EVALUATIONS if n <= len(mean)},
        "reached": first(mean),
        "reached_by_seed": [first(curve) for curve in curves],
        "seconds_per_suggestion": round(seconds, 4),
        "curve": [round(float(value), 4) for value in mean],
        "sd": [round(float(value), 4) for value in curves.std(axis=0)],
    }


def halving_shares(table: Table | None = None, *, repeats: int = 200) -> dict[str, float]:
    """Mean share of the hypervolume of 81 random networks that the last 9 of a halving keep."""
    table = table or nas_bench_macro()
    shares: dict[str, list[float]] = {"frontier": [], "accuracy": [], "random": []}
    for repeat in range(repeats):
        start = np.random.default_rng(repeat).choice(table.fitting, POOL, replace=False)
        for rule, kept_shares in shares.items():
            rng, rows = np.random.default_rng((repeat, 1)), start
            for keep, noise in CUTS:
                seen = table.truth[rows] + rng.normal(0.0, noise, len(rows))
                if rule == "frontier":
                    order: Any = priority(seen, table.cost[rows])
                else:
                    order = np.argsort(-seen) if rule == "accuracy" else rng.permutation(len(rows))
                rows = rows[order[:keep]]
            kept_shares.append(table.hypervolume(rows) / table.hypervolume(start))
    return {rule: round(float(np.mean(values)), 4) for rule, values in shares.items()}


def header() -> str:
    return f"{'sampler':22s}" + "".join(f"{n:>7d}" for n in EVALUATIONS) + "  95 % after  s/ask"


def row_of(label: str, result: dict[str, Any]) -> str:
    shares = "".join(f"{result['share'].get(n, float('nan')):7.3f}" for n in EVALUATIONS)
    reached = result["reached"] or f">{max(EVALUATIONS)}"
    return f"{label:22s}{shares}  {reached!s:>10s}  {result['seconds_per_suggestion']:.3f}"


def draw(results: dict[str, dict[str, Any]], path: Path, title: str) -> None:
    """The curves as SVG: ours thick, alone and in parallel; the others thin."""
    import altair as alt
    import pandas as pd

    rows = [
        {"sampler": name, "evaluations": i + 1, "share of hypervolume": value}
        for name, result in results.items()
        for i, value in enumerate(result["curve"])
    ]
    ours = alt.FieldOneOfPredicate("sampler", [OURS, f"{OURS} x{PARALLEL}"])
    lines = (
        alt.Chart(pd.DataFrame(rows), title=title, width=560, height=340)
        .mark_line()
        .encode(
            x=alt.X("evaluations:Q", title="networks trained"),
            y=alt.Y("share of hypervolume:Q", scale=alt.Scale(domain=[0.4, 1.0], clamp=True)),
            color=alt.Color("sampler:N", sort=list(results)),
            size=alt.condition(ours, alt.value(3), alt.value(1.2)),
        )
    )
    goal = alt.Chart(pd.DataFrame({"y": [SHARE]})).mark_rule(strokeDash=[4, 4]).encode(y="y:Q")
    (lines + goal).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--table", default=str(MACRO), help="JSON file, synthetic:SEED or noisy:SEED"
    )
    parser.add_argument("--budget", type=float, default=60e6)
    parser.add_argument("--reference", type=float, default=0.85)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--workers", default=f"1,{PARALLEL}")
    parser.add_argument("--categorical", action="store_true", help="tell numbers as categories")
    parser.add_argument("--part", choices=["samplers", "halving", "all"], default="all")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".svg"))
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "search_efficiency", "seeds": options.seeds}
    table = load_table(options.table, options.budget, options.reference)
    if options.part in ("samplers", "all"):
        print(f"{table.name}: {len(table.fitting)} of {len(table.items)} items fit the budget")
        print(header())
        results = compare(
            table,
            options.samplers.split(","),
            seeds=options.seeds,
            processes=options.processes,
            workers=tuple(int(count) for count in options.workers.split(",")),
            ordered=not options.categorical,
        )
        report["ordered"] = not options.categorical
        draw(results, options.out, f"{table.name}, mean of {options.seeds} seeds")
        report["table"] = table.name
        report["samplers"] = {
            name: {k: v for k, v in result.items() if k not in ("curve", "sd")}
            for name, result in results.items()
        }
    if options.part in ("halving", "all"):
        report["halving"] = halving_shares(table)
        print(f"{POOL} -> {' -> '.join(str(keep) for keep, _ in CUTS)}, hypervolume kept, by rule:")
        print("  ".join(f"{rule} {share:.3f}" for rule, share in report["halving"].items()))
    print(json.dumps(report))


def load_table(name: str, budget: float, reference: float) -> Table:
    """The table of a file, by what is in it, or a synthetic one; of `noisy:SEED`, runs differ as
    much as networks of equal cost do."""
    kind, _, seed = name.partition(":")
    if kind in ("synthetic", "noisy"):
        return (
            synthetic(int(seed), items=1500, share=1.0) if kind == "noisy" else synthetic(int(seed))
        )
    path = Path(name)
    if path.stem in ("digits", "cifar"):
        return vision_transformers(path)
    if "pit" in path.name:
        return pit(path)
    return nas_bench_macro(path, budget=budget, reference_accuracy=reference)


if __name__ == "__main__":
    main()
