"""How to split compute between finding networks by a proxy and confirming them by full trainings.

    python benchmarks/find_or_confirm.py [--table FILE ...] [--repeats 20] [--first 0]

Replays searches and confirmations on the tables of `train_table.py`: FrontierSampler with early
stopping picks networks, their cheap trainings (or a full one) are what it sees;
`search/decide/confirming.py` decides which are trained in full, by whose runs, and how often. What
is announced is judged by full trainings that neither of them saw. Differences are to 24
`faithful` trials, announced as they were found, of the same repeat; intervals are bootstraps over
repeats, 95 %. Baselines are left out on both sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one process a core
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import optuna  # noqa: E402

from benchmarks.early_stopping import Search  # noqa: E402
from benchmarks.tabular import Array, Table, TableProblem, vision_transformers  # noqa: E402
from results import Epoch, TrialRecord, pareto_front  # noqa: E402
from results.confirmed import CONFIDENCE, staircase  # noqa: E402
from results.posterior import Estimates  # noqa: E402
from search.decide.confirming import choose, next_network  # noqa: E402
from search.decide.early_stopping import FreezeThaw  # noqa: E402
from space import Architecture, count_params  # noqa: E402
from trainers.recipe import PROXIES  # noqa: E402

TABLES = [ROOT / "benchmarks" / "tables" / f"{name}.json" for name in ("digits", "cifar")]
BUDGETS = 3  # the budgets at which accuracies are compared, evenly over log FLOPs


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Trials by a proxy, then full trainings of what is chosen; none if `seeds` is 0."""

    proxy: str
    trials: int
    seeds: int = 0
    controls: int = 8
    top: int | None = None  # the most of members and near-members

    @property
    def name(self) -> str:
        if not self.seeds:
            return f"{self.trials} {self.proxy}"
        top = "all" if self.top is None else f"{self.top} best"
        return f"{self.trials} {self.proxy}, {top} + {self.controls}, {self.seeds} seeds"


BEFORE = Setting(proxy="faithful", trials=24)
SETTINGS = [
    BEFORE,
    Setting(proxy="faithful", trials=12),
    *(
        Setting(proxy=proxy, trials=trials, **confirmed)
        for proxy, most in (("balanced", 36), ("fast", 48))
        for trials in (24, 36, 48)
        for confirmed in (
            {},
            {"seeds": 1},
            {"seeds": 3},
            {"seeds": 2, "controls": 0},
            *({"seeds": n, "controls": 0, "top": top} for top in (6, 8, 10) for n in (1, 2)),
        )
        if trials <= most
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A table's networks that were trained in full and by every proxy."""

    table: Table  # `curves`: those of full trainings
    architectures: tuple[Architecture, ...]
    cheap: dict[str, Array]  # by proxy, (N, epochs) accuracies of one seed
    images: int  # validation
    warmup: float
    searched: int  # of the runs, what full searches see by turns


@cache
def load(path: Path) -> Trained:
    """The networks of a table file; run 0 shares its initialisation with the cheap trainings."""
    data, table = json.loads(path.read_text()), vision_transformers(path)
    full, images = data["recipe"]["epochs"], data["images"]["validation"]
    short = {name: f"epochs={max(round(share * full), 1)}" for name, share in PROXIES.items()}
    del short["faithful"]
    rows = [
        row
        for row, network in enumerate(data["networks"])
        if all("correct" in network["proxies"].get(text, {}) for text in short.values())
    ]
    networks = [data["networks"][row] for row in rows]
    runs = [[run["correct"] for run in n["runs"]] for n in networks]
    curves = np.array(runs) / images
    return Trained(
        table=dataclasses.replace(
            table,
            items=tuple(table.items[row] for row in rows),
            features=table.features[rows],
            cost=table.cost[rows],
            accuracy=curves[:, :, -1],
            curves=curves,
        ),
        architectures=tuple(Architecture.from_dict(n["architecture"]) for n in networks),
        cheap={
            name: np.array([n["proxies"][text]["correct"] for n in networks]) / images
            for name, text in short.items()
        },
        images=images,
        warmup=data["recipe"]["warmup_epochs"],
        searched=len(networks[0]["runs"]) - 1,
    )


def parted(runs: int, own: int, repeat: int) -> tuple[list[int], list[int]]:
    """Which of so many full trainings judge, and which a confirmation takes, in order. `own`, which
    a full search sees, and the first, which begins as the cheap ones do, never judge."""
    others = [run for run in range(1, runs) if run != own]
    others = np.random.default_rng((11, repeat)).permutation(others).tolist()
    judges = max(1, (runs - 1) // 2)
    left = sorted({0, own, *others[judges:]})
    return others[:judges], left[repeat % len(left) :] + left[: repeat % len(left)]


def find(trained: Trained, curves: Array, trials: int, repeat: int) -> list[tuple[int, int]]:
    """[(row, epochs trained)] of a search that sees these (N, epochs)."""
    table, epochs = trained.table, curves.shape[1]
    rule: Any = FreezeThaw(
        TableProblem(table),
        lambda row: row,
        reference_accuracy=table.reference_accuracy,
        max_epochs=epochs,
        warmup_epochs=trained.warmup,
    )
    picks, done = Search(table, repeat), []
    for row in map(int, picks):
        length = epochs
        for epoch, accuracy in enumerate(curves[row].tolist(), start=1):
            on = rule.report(row, flops=table.cost[row], epoch=epoch, accuracy=accuracy)
            if not on and epoch < epochs:
                length = epoch
                break
        picks.tell(row, curves[row, :length], length == epochs)
        done.append((row, length))
        if len(done) == trials:
            break
    return done


def records_of(trained: Trained, curves: Array, found: list[tuple[int, int]]) -> list[TrialRecord]:
    """The records that a search would have kept; `trial` is the row."""
    nothing = {"train_loss": 0.0, "val_loss": 0.0, "seconds": 0.0, "images_per_second": 0.0}
    return [
        TrialRecord(
            trial=row,
            architecture=trained.architectures[row],
            flops=int(trained.table.cost[row]),
            params=count_params(trained.architectures[row]),
            state="complete" if length == curves.shape[1] else "stopped",
            seed=0,
            curve=tuple(
                Epoch(epoch=i, accuracy=float(a), **nothing)
                for i, a in enumerate(curves[row, :length], start=1)
            ),
        )
        for row, length in found
    ]


def confirm(
    trained: Trained, records: list[TrialRecord], setting: Setting, seen: list[int], repeat: int
) -> tuple[dict[int, float], float]:
    """{row: accuracy} of what a confirmation announces, and its compute in FLOPs x epochs."""
    table = trained.table
    chosen = choose(
        records,
        budget=int(table.budget),
        images=trained.images,
        top=setting.top,
        controls=setting.controls,
        seed=repeat,
    )
    rows = [c.trial for c in chosen]
    accuracies: list[list[float]] = [[] for _ in rows]
    most = min(setting.seeds, len(seen))
    while True:
        estimates = Estimates.of(list(table.cost[rows]), accuracies, images=trained.images)
        place = next_network(
            estimates,
            np.zeros(len(rows)),
            estimates.count,
            most=most,
            confidence=CONFIDENCE,
        )
        if place is None:
            break
        accuracies[place].append(float(table.accuracy[rows[place], seen[len(accuracies[place])]]))
    assert table.curves is not None
    spent = float(estimates.count @ table.cost[rows]) * table.curves.shape[2]
    return {rows[i]: float(estimates.mean[i]) for i in staircase(estimates)}, spent


def judge(trained: Trained, announced: dict[int, float], judges: list[int]) -> dict[str, Any]:
    """What the announced networks truly are, by the trainings that judge."""
    table = trained.table
    truth, rows = table.accuracy[:, judges].mean(axis=1), list(announced)
    low, high = np.log(table.cost.min()), np.log(table.budget)
    shares = [(i + 1) / BUDGETS for i in range(BUDGETS)]
    at = []
    for budget in np.exp([low + share * (high - low) for share in shares]):
        fit = [row for row in rows if table.cost[row] <= budget * (1 + 1e-9)]
        best = max(fit, key=announced.__getitem__, default=None)
        at.append(table.reference_accuracy if best is None else float(truth[best]))
    means = table.truth
    best, mine = int(means.argmax()), max(rows, key=announced.__getitem__)
    top = means >= np.quantile(means, 0.75)
    error = float(np.sqrt(2 * table.accuracy[top].var(axis=1, ddof=1).mean() / len(judges)))
    return {
        "hypervolume": table.hypervolume(rows, truth[rows])
        / table.hypervolume(table.fitting, truth[table.fitting]),
        "at": at,
        "mean": float(np.mean(at)),
        "claimed": float(announced[mine] - truth[mine]),
        "within": float(truth[best] - truth[mine] <= error),
        "members": len(rows),
    }


def kept(file: Path | None, make: Any) -> Any:
    """What `make` gives, written to the file and read from there the next time."""
    if file is not None and file.exists():
        return json.loads(file.read_text())
    value = make()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    return value


def replay(job: tuple[Path, str, int, Path | None]) -> list[dict[str, Any]]:
    """What comes of one repeat of all settings of a proxy: one search, cut where each ends."""
    path, proxy, repeat, keep = job
    settings = [s for s in SETTINGS if s.proxy == proxy]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    trained = load(path)
    table = trained.table
    assert table.curves is not None
    own = repeat % trained.searched  # the same judge all settings of a repeat
    judges, seen = parted(table.curves.shape[1], own, repeat)
    curves = table.curves[:, own] if proxy == "faithful" else trained.cheap[proxy]
    most = max(s.trials for s in settings)
    run = f"-run{own}" if proxy == "faithful" else ""
    file = keep / f"{path.stem}-{proxy}{run}-{most}-{repeat}.json" if keep else None
    found = kept(file, lambda: find(trained, curves, most, repeat))
    said = []
    for setting in settings:
        some = found[: setting.trials]
        records = records_of(trained, curves, some)
        spent = sum(table.cost[row] * length for row, length in some)
        front = pareto_front(records, budget_flops=int(table.budget))
        announced, more = {record.trial: record.accuracy or 0.0 for record in front}, 0.0
        if setting.seeds:
            others = [run for run in seen if proxy != "faithful" or run != own]
            announced, more = confirm(trained, records, setting, others or seen, repeat)
        told = {"setting": setting.name, "repeat": repeat, "compute": spent + more}
        said.append(
            told | {"confirming": more / (spent + more)} | judge(trained, announced, judges)
        )
    return said


def interval(values: Array) -> tuple[float, float]:
    """95 % bootstrap of a mean."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def summary(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of one setting, and its differences to those of before."""

    def column(name: str, of: list[dict[str, Any]]) -> Array:
        return np.array([row[name] for row in sorted(of, key=lambda row: row["repeat"])], float)

    gain = 100 * (column("mean", rows) - column("mean", before))
    volume = column("hypervolume", rows) - column("hypervolume", before)
    return {
        "compute": float(column("compute", rows).sum() / column("compute", before).sum()),
        "confirming": float(column("confirming", rows).mean()),
        "members": float(column("members", rows).mean()),
        "hypervolume": float(column("hypervolume", rows).mean()),
        "hypervolume_gain": interval(volume),
        "at": np.mean([row["at"] for row in rows], axis=0).round(4).tolist(),
        "gain": float(gain.mean()),
        "gain_interval": interval(gain),
        "claimed": float(100 * column("claimed", rows).mean()),
        "within": float(column("within", rows).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, nargs="+", default=TABLES)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="The first repeat's number.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="A folder for the searches, to judge them again.")
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "find_or_confirm", "repeats": options.repeats}
    for path in options.table:
        repeats = range(options.first, options.first + options.repeats)
        proxies = dict.fromkeys(s.proxy for s in SETTINGS)
        jobs = [(path, p, r, options.keep) for p in proxies for r in repeats]
        with ProcessPoolExecutor(options.processes) as pool:
            rows = [row for some in pool.map(replay, jobs) for row in some]
        by_setting = {s.name: [r for r in rows if r["setting"] == s.name] for s in SETTINGS}
        before = by_setting[BEFORE.name]
        report[path.stem] = {name: summary(some, before) for name, some in by_setting.items()}
        print(f"{path.stem:38}compute  conf. members volume  gain         [95 %]  claim within")
        for name, row in report[path.stem].items():
            low, high = row["gain_interval"]
            print(
                f"{name:38}{row['compute']:7.2f}{row['confirming']:7.2f}{row['members']:8.1f}"
                f"{row['hypervolume']:7.3f}{row['gain']:7.2f} [{low:5.2f}, {high:5.2f}]"
                f"{row['claimed']:7.2f}{row['within']:7.2f}",
                flush=True,
            )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
