"""Early stopping judged on whole curves of real trainings: what it stops, what it saves.

    python benchmarks/early_stopping.py [--table FILE] [--trials 24]
    python benchmarks/early_stopping.py --runs RUN...

Replays searches on a table of `train_table.py`: a search picks networks of the table (at random, or
by FrontierSampler), a rule sees their curves epoch by epoch and stops them. Prints for each rule
which share of the frontier without stopping it stops, what it spends, and the hypervolume (of the
mean accuracy over seeds) that is reached for equal compute. With --runs, the same of run folders
that were searched without early stopping, their trials in random orders.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one process a core
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
import optuna  # noqa: E402

from benchmarks.halving import HalvingRule, non_dominated_rank  # noqa: E402
from benchmarks.pareto_rank import by_median  # noqa: E402
from benchmarks.tabular import Table, TableProblem, vision_transformers  # noqa: E402
from results import hypervolume, load_run, pareto_front  # noqa: E402
from search.decide.early_stopping import FreezeThaw  # noqa: E402
from search.decide.frontier_sampler import FrontierSampler  # noqa: E402
from search.decide.problem import Network, SpaceProblem  # noqa: E402
from space import SearchSpace  # noqa: E402

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the compute
TABLE = Path(__file__).parent / "tables" / "digits_constant_rate.json"


class ByAccuracy(HalvingRule):
    """The same rungs, by accuracy alone, as ASHA decides."""

    def is_kept(self, trial: int, rung: int) -> bool:
        results = [accuracy for accuracy, _ in self._results[rung].values()]
        if len(results) < self.reduction_factor:
            return True
        better = sum(other > self._results[rung][trial][0] for other in results)
        return better * self.reduction_factor < len(results)


class ByFront(HalvingRule):
    """The same rungs, by front and spread alone."""

    def leads_neighbourhood(self, trial: int, rung: int) -> bool:
        return False


def make_rule(name: str, table: Table) -> Any:
    """One of `RULES`, for the trainings of a table; "freeze-thaw .1" has another share."""
    kind, _, share = name.partition(" .")
    if RULES[kind] is None:
        return None
    epochs = {"max_epochs": table.curves.shape[2]}
    if RULES[kind] is not FreezeThaw:
        return RULES[kind](**epochs)
    if share:
        epochs["share"] = float(f".{share}")
    return FreezeThaw(
        TableProblem(table), lambda row: row, reference_accuracy=table.reference_accuracy, **epochs
    )


RULES: dict[str, Any] = {
    "none": None,
    "freeze-thaw": FreezeThaw,
    "halving": HalvingRule,
    "halving by front": ByFront,
    "halving by accuracy": ByAccuracy,
    "pareto rank median": by_median,
}


def replay(table: Table, rule: Any, run: int, picks: Any, *, compute: float) -> list[Any]:
    """[(row, epochs trained)] of `picks` until `compute`, in epochs x FLOPs, is spent."""
    done, spent = [], 0.0
    epochs = table.curves.shape[2]
    for row in map(int, picks):
        curve = table.curves[row, run]
        trained = epochs
        for epoch, accuracy in enumerate(curve.tolist(), start=1):
            goes_on = rule is None or rule.report(
                row, flops=table.cost[row], epoch=epoch, accuracy=accuracy
            )
            if not goes_on and epoch < epochs:
                trained = epoch
                break
        done.append((row, trained))
        if isinstance(picks, Search):
            picks.tell(row, curve[:trained], trained == epochs)
        spent += trained * table.cost[row]
        if spent >= compute or len(done) == len(table.fitting):
            break
    return done


class Search:
    """FrontierSampler on the table, as an iterator of rows that is told what came out."""

    def __init__(self, table: Table, seed: int) -> None:
        self._problem = TableProblem(table)
        sampler = FrontierSampler(
            self._problem, seed=seed, reference_accuracy=table.reference_accuracy
        )
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._log_cost = np.log10(table.cost)
        self._trial: Any = None

    def __iter__(self) -> Any:
        while True:
            self._trial = self._study.ask(self._problem.distributions)
            yield self._problem.decode(self._trial.params)

    def tell(self, row: int, curve: Any, complete: bool) -> None:
        points = [{"epoch": i, "accuracy": float(a)} for i, a in enumerate(curve, start=1)]
        self._trial.set_user_attr("curve", points)
        if complete:
            self._study.tell(self._trial, (float(curve[-1]), float(self._log_cost[row])))
        else:
            self._study.tell(self._trial, state=optuna.trial.TrialState.PRUNED)


def one_replay(job: tuple[Path, str, str, int, int]) -> dict[str, Any]:
    """One search with one rule, for the compute of `trials` trainings of mean cost."""
    path, rule_name, picks, repeat, trials = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    table = vision_transformers(path)
    assert table.curves is not None
    run, rng = repeat % table.curves.shape[1], np.random.default_rng(repeat)
    order: Any = Search(table, repeat) if picks == "frontier" else rng.permutation(table.fitting)
    epochs = table.curves.shape[2]
    compute = trials * epochs * float(table.cost[table.fitting].mean())
    done = replay(table, make_rule(rule_name, table), run, order, compute=compute)
    best = table.hypervolume(table.fitting)
    curve = []
    for share in SHARES:
        spent, rows = 0.0, []
        for row, trained in done:
            spent += trained * table.cost[row]
            if spent > share * compute:
                break
            if trained == epochs:
                rows.append(row)
        curve.append(table.hypervolume(rows) / best if rows else 0.0)
    # Of the first `trials` networks: the frontier that they have without stopping.
    rows = np.array([row for row, _ in done[:trials]])
    kept = np.array([trained == epochs for _, trained in done[:trials]])
    final = table.curves[rows, run, -1]
    front = non_dominated_rank(final, table.cost[rows]) == 0
    spent = sum(trained * table.cost[row] for row, trained in done[:trials])
    return {
        "curve": curve,
        "networks": len(done),
        "members": int(front.sum()),
        "stopped_members": int((front & ~kept).sum()),
        "spent": spent / (epochs * table.cost[rows].sum()),
        "kept_hypervolume": table.hypervolume(rows[kept], final[kept])
        / table.hypervolume(rows, final),
    }


def run_in_orders(job: tuple[Path, str, int]) -> dict[str, Any]:
    """What a rule would have stopped of a run's complete trials, over random orders of them."""
    folder, rule_name, orders = job
    run = load_run(folder)
    records = {r.trial: r for r in run.records if r.state == "complete"}
    epochs = max(record.epochs for record in records.values())
    options: dict[str, Any] = {
        "max_epochs": epochs, "warmup_epochs": run.settings["recipe"]["warmup_epochs"],
    }  # fmt: skip
    front = {record.trial for record in pareto_front(list(records.values()))}
    budget, chance = run.reference_point
    problem = SpaceProblem(SearchSpace.from_dict(run.settings["space"]), budget=budget)
    full = sum(record.flops for record in records.values()) * epochs
    told = {"members": 0, "stopped_members": 0, "spent": [], "kept": []}
    for seed in range(orders):
        rule = RULES[rule_name]
        if rule is FreezeThaw:
            networks = {n: Network({}, record.architecture) for n, record in records.items()}
            rule = FreezeThaw(
                problem, networks.__getitem__, reference_accuracy=chance, seed=seed, **options
            )
        else:
            rule = rule(**options)
        spent, complete = 0, []
        for number in np.random.default_rng(seed).permutation(list(records)).tolist():
            record = records[number]
            for epoch in record.curve:
                spent += record.flops
                if not rule.report(
                    number, flops=record.flops, epoch=epoch.epoch, accuracy=epoch.accuracy
                ):
                    break
            if epoch.epoch == epochs:
                complete.append(record)
            told["members"] += number in front
            told["stopped_members"] += number in front and epoch.epoch < epochs
        told["spent"].append(spent / full)
        volumes = [
            hypervolume(some, budget_flops=budget, reference_accuracy=chance)
            for some in (complete, list(records.values()))
        ]
        told["kept"].append(volumes[0] / volumes[1])
    return told


def judge_runs(folders: list[Path], orders: int, processes: int) -> dict[str, Any]:
    """Prints and returns what each rule would have stopped of all these runs together."""
    report = {}
    with ProcessPoolExecutor(processes) as pool:
        for rule in ("freeze-thaw", "halving", "halving by accuracy"):
            told = list(pool.map(run_in_orders, [(folder, rule, orders) for folder in folders]))
            members = sum(t["members"] for t in told)
            row = {
                "frontier_members": members // orders,
                "of_these_stopped": sum(t["stopped_members"] for t in told) / members,
                "flops_spent": float(np.mean([t["spent"] for t in told])),
                "hypervolume_kept": float(np.mean([t["kept"] for t in told])),
            }
            report[rule] = {key: round(value, 4) for key, value in row.items()}
            print(f"{rule:22}", *(f"{key} {value:.3f}" for key, value in row.items()), flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--runs", type=Path, nargs="+")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--picks", default="random,frontier")
    options = parser.parse_args()
    if options.runs:
        told = judge_runs(options.runs, options.repeats, options.processes)
        print(json.dumps({"benchmark": "early_stopping", "runs": len(options.runs)} | told))
        return
    report: dict[str, Any] = {"benchmark": "early_stopping", "trials": options.trials,
                              "repeats": options.repeats, "table": options.table.stem}  # fmt: skip
    shares = "".join(f"{share:>8g}" for share in SHARES)
    print(f"{'picks':10}{'rule':22}{'members':>8}{'stopped':>9}{'FLOPs':>7}{'kept':>8} |{shares}")
    with ProcessPoolExecutor(options.processes) as pool:
        for picks in options.picks.split(","):
            for rule in options.rules.split(","):
                jobs = [
                    (options.table, rule, picks, repeat, options.trials)
                    for repeat in range(options.repeats)
                ]
                runs = list(pool.map(one_replay, jobs))
                members = sum(r["members"] for r in runs)
                row = {
                    "members": members,
                    "stopped_members": sum(r["stopped_members"] for r in runs) / members,
                    "spent": float(np.mean([r["spent"] for r in runs])),
                    "kept_hypervolume": float(np.mean([r["kept_hypervolume"] for r in runs])),
                    "networks": float(np.mean([r["networks"] for r in runs])),
                }
                curve = np.mean([r["curve"] for r in runs], axis=0)
                report[f"{picks}, {rule}"] = {k: round(v, 4) for k, v in row.items()} | {
                    "share_of_hypervolume": dict(zip(SHARES, curve.round(4).tolist(), strict=True))
                }
                print(
                    f"{picks:10}{rule:22}{members:8d}{row['stopped_members']:9.3f}"
                    f"{row['spent']:7.3f}{row['kept_hypervolume']:8.4f} |"
                    + "".join(f"{value:8.4f}" for value in curve),
                    flush=True,
                )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
