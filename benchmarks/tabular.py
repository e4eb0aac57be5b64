"""A table of trained items as a search problem, so that samplers can be compared in seconds.

Another table needs one function like `nas_bench_macro` that returns a `Table`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from search.decide.problem import SpaceProblem
from space import Architecture, SearchSpace, architecture_features

Array = NDArray[np.float64]
MACRO = Path(__file__).parent / "tables" / "nas_bench_macro_cifar10.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Items with known cost, features, and accuracies that were measured several times."""

    name: str
    genes: Mapping[str, tuple[Any, ...]]  # every gene's choices, numbers in order
    items: tuple[tuple[Any, ...], ...]  # (N,) genes of every item, in the order of `genes`
    features: Array  # (N, D) what a surrogate may see
    cost: Array  # (N,)
    accuracy: Array  # (N, runs); a search sees one run at random, the truth is the mean
    budget: float
    reference_accuracy: float
    curves: Array | None = None  # (N, runs, epochs) accuracy after every epoch, if it is known

    @property
    def truth(self) -> Array:
        return np.asarray(self.accuracy.mean(axis=1))

    @property
    def fitting(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.cost <= self.budget)

    def hypervolume(self, rows: Any, accuracies: Array | None = None) -> float:
        """Area over log10(cost) between the staircase of the rows' true accuracies and the
        reference, up to the budget."""
        rows = np.asarray(rows, int)
        accuracies = self.truth[rows] if accuracies is None else accuracies
        order = np.argsort(self.cost[rows], kind="stable")
        costs = np.minimum(self.cost[rows][order], self.budget)
        levels = np.maximum.accumulate(np.maximum(accuracies[order], self.reference_accuracy))
        widths = np.diff(np.log10(np.append(costs, self.budget)))
        return float(widths @ (levels - self.reference_accuracy))


class TableProblem:
    """A table as `search.decide.known_cost.Problem`; an item is a row number.

    Genes of consecutive integers are told to Optuna as integers if `ordered`, else as categories.
    """

    def __init__(self, table: Table, *, ordered: bool = True) -> None:
        self.table = table
        self.budget = table.budget
        self._rows = {item: row for row, item in enumerate(table.items)}
        self._codes = [
            {value: code for code, value in enumerate(values)} for values in table.genes.values()
        ]
        self._coded = np.array([self._code(item) for item in table.items], np.int16)  # (N, genes)
        self.distributions: dict[str, BaseDistribution] = {
            name: IntDistribution(choices[0], choices[-1])
            if ordered and _are_consecutive(choices)
            else CategoricalDistribution(choices)
            for name, choices in (
                (name, choices) for name, choices in table.genes.items() if len(choices) > 1
            )
        }

    def decode(self, params: Mapping[str, Any]) -> int:
        wanted = tuple(params.get(name, choices[0]) for name, choices in self.table.genes.items())
        return self._row(wanted)

    def _row(self, wanted: tuple[Any, ...]) -> int:
        """The row of these genes, or the one that differs in the fewest if the table has gaps."""
        if wanted in self._rows:
            return self._rows[wanted]
        return int((self._coded != self._code(wanted)).sum(axis=1).argmin())

    def _code(self, item: tuple[Any, ...]) -> list[int]:
        return [code[value] for code, value in zip(self._codes, item, strict=True)]

    def encode(self, item: int) -> dict[str, Any]:
        values = zip(self.table.genes, self.table.items[item], strict=True)
        return {name: value for name, value in values if name in self.distributions}

    def key(self, item: int) -> Hashable:
        return item

    def cost(self, item: int) -> float:
        return float(self.table.cost[item])

    def fits(self, item: int) -> bool:
        return bool(self.table.cost[item] <= self.budget)

    def features(self, item: int) -> Array:
        return self.table.features[item]

    def smallest(self) -> int:
        return int(self.table.cost.argmin())

    def sample(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(self.table.items)))

    def mutate(self, item: int, rng: np.random.Generator) -> int:
        genes = list(self.table.items[item])
        place = int(rng.integers(len(genes)))
        choices = tuple(self.table.genes.values())[place]
        genes[place] = choices[int(rng.integers(len(choices)))]
        return self._row(tuple(genes))

    def crossover(self, first: int, second: int, rng: np.random.Generator) -> int:
        parents = self.table.items[first], self.table.items[second]
        return self._row(tuple(pair[rng.random() < 0.5] for pair in zip(*parents, strict=True)))

    def size(self) -> int:
        return len(self.table.items)

    def enumerate(self) -> Iterator[int]:
        return iter(range(len(self.table.items)))


def _are_consecutive(choices: tuple[Any, ...]) -> bool:
    whole = all(type(choice) is int for choice in choices)
    return whole and choices == tuple(range(choices[0], choices[0] + len(choices)))


def nas_bench_macro(
    path: Path = MACRO, *, budget: float = 60e6, reference_accuracy: float = 0.85
) -> Table:
    """NAS-Bench-Macro from the file here or the authors' own JSON.

    Features are what the digits mean: for each of eight places whether a block is there and whether
    it is the wide one, for each of three stages how many blocks and how much expansion; and the
    logs of FLOPs and parameters.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if "flops" in data:
        digits = np.array([[int(d) for d in np.base_repr(i, 3).zfill(8)] for i in range(3**8)])
        flops, params = (np.array(data[name], float) for name in ("flops", "params"))
        accuracy = np.array(data["accuracy"]) * data["accuracy_unit"]
    else:
        names = sorted(data)
        digits = np.array([[int(digit) for digit in name] for name in names])
        flops, params = (np.array([data[n][c] for n in names], float) for c in ("flops", "params"))
        accuracy = np.array([data[name]["test_acc"] for name in names]) / 100.0
    stages = [digits[:, part] for part in (slice(0, 2), slice(2, 5), slice(5, 8))]
    features = [digits > 0, digits == 2, np.log(flops), np.log(params)]
    features += [(stage > 0).sum(axis=1) for stage in stages]
    features += [stage.sum(axis=1) for stage in stages]
    return Table(
        name="NAS-Bench-Macro",
        genes={f"layer_{place}": (0, 1, 2) for place in range(8)},
        items=tuple(tuple(row) for row in digits.tolist()),
        features=np.column_stack(features).astype(float),
        cost=flops,
        accuracy=accuracy,
        budget=budget,
        reference_accuracy=reference_accuracy,
    )


def pit(path: Path, *, share: float = 0.8, reference_accuracy: float = 0.5) -> Table:
    """One hundred PiT on CIFAR-100 (lliai/Auto-Prox-AAAI24). The budget leaves that share of them.

    The table has no FLOPs: they are counted from the blocks, on 27 x 27 tokens and two poolings.
    One accuracy each: two more runs are drawn around it, with half a point of noise.
    """
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    flops, params = [], []
    for base, ratio, depths, heads, _ in rows:
        side, macs, weights = 27, 0, 0
        for depth, count in zip(depths, heads, strict=True):
            width, tokens = base * count, side**2 + 1
            weights += depth * width**2 * (4 + 2 * ratio)
            macs += depth * (tokens * width**2 * (4 + 2 * ratio) + 2 * tokens**2 * width)
            side = (side + 1) // 2
        flops.append(macs)
        params.append(weights)
    items = tuple((base, ratio, *depths, *heads) for base, ratio, depths, heads, _ in rows)
    accuracy = np.array([row[4] / 100.0 for row in rows])
    noise = np.random.default_rng(0).normal(0.0, 0.005, (len(rows), 3))
    names = ("base_dim", "mlp_ratio", *(f"{g}_{s}" for g in ("depth", "heads") for s in (1, 2, 3)))
    choices = [tuple(sorted({item[i] for item in items})) for i in range(len(names))]
    return Table(
        name="PiT",
        genes=dict(zip(names, choices, strict=True)),
        items=items,
        features=np.column_stack([np.log(np.array(items)), np.log(flops), np.log(params)]),
        cost=np.array(flops, float),
        accuracy=accuracy[:, None] + noise,
        budget=float(np.quantile(flops, share)),
        reference_accuracy=reference_accuracy,
    )


def vision_transformers(path: Path) -> Table:
    """A table of `train_table.py`: ViTs with Re-attention and pools, every epoch of every run."""
    data = json.loads(path.read_text(encoding="utf-8"))
    images = data["images"]
    size, classes = images["img_size"], images["num_classes"]
    chans = data["networks"][0]["architecture"]["in_chans"]
    space = SearchSpace.load(data["space"])
    problem = SpaceProblem(
        space.fit(img_size=size, in_chans=chans, num_classes=classes), budget=data["budget_flops"]
    )
    networks = [n for n in data["networks"] if all("correct" in run for run in n["runs"])]
    architectures = [Architecture.from_dict(n["architecture"]) for n in networks]
    curves = np.array([[run["correct"] for run in n["runs"]] for n in networks])
    genes = problem.space.genes
    encoded = [problem.space.encode(architecture) for architecture in architectures]
    return Table(
        name=f"ViTs of the space {data['space']}",
        genes=genes,
        items=tuple(tuple(values[name] for name in genes) for values in encoded),
        features=np.array([architecture_features(a) for a in architectures]),
        cost=np.array([n["flops"] for n in networks], float),
        accuracy=curves[:, :, -1] / images["validation"],
        budget=float(data["budget_flops"]),
        reference_accuracy=1.0 / classes,
        curves=curves / images["validation"],
    )


def synthetic(
    seed: int, *, noise: float = 0.01, items: int = 4000, share: float | None = None
) -> Table:
    """A made-up space: accuracy saturates with cost, depends smoothly and jointly on six genes of
    six choices, and a little on chance.

    With `share`, runs differ by that share of what accuracies differ by at equal cost, instead of
    by `noise`; each then has a run with the opposite noise, so that the mean is the truth.
    """
    rng = np.random.default_rng((7, seed))
    rows = np.unique(rng.integers(0, 6, (2 * items, 6)), axis=0)
    rows = rows[rng.permutation(len(rows))[:items]]
    slopes = rng.uniform(0.1, 0.45, 6)
    log_cost = rows @ slopes + 0.05 * rows[:, 0] * rows[:, 1]
    size = (log_cost - log_cost.min()) / np.ptp(log_cost)
    waves = np.cos(rows @ rng.normal(0, 0.25, (6, 20)) + rng.uniform(0, 2 * math.pi, 20))
    taste = waves @ rng.normal(0, 0.12, 20) + rng.normal(0, 0.04, len(rows))
    truth = 0.95 / (1.0 + np.exp(1.5 - 3.5 * (1.0 - np.exp(-2.5 * size)) - taste))
    cost = np.exp(log_cost) * 1e6
    if share is None:
        runs = rng.normal(0, noise, (len(rows), 3))
    else:
        draws = rng.normal(0, share * signal_beyond_cost(cost, truth), (len(rows), 4))
        runs = np.column_stack([draws, -draws])
    return Table(
        name=f"synthetic {seed}" + (f", noise {share:g} of the signal" if share else ""),
        genes={f"gene_{i}": tuple(range(6)) for i in range(6)},
        items=tuple(tuple(row) for row in rows.tolist()),
        features=np.column_stack([rows, log_cost]).astype(float),
        cost=cost,
        accuracy=np.clip(truth[:, None] + runs, 0.0, 1.0),
        budget=float(np.quantile(cost, 0.7)),
        reference_accuracy=0.1,
    )


def signal_beyond_cost(cost: Array, accuracy: Array) -> float:
    """Standard deviation of accuracies about their best cubic in log cost."""
    logs = np.log10(cost)
    return float(np.std(accuracy - np.polyval(np.polyfit(logs, accuracy, 3), logs)))
