"""Whether what a report says of choices is true: replays of searches on tables of trained networks.

    python benchmarks/effects.py [--kept FOLDER] [--searches frontier random] [--replays 100]

The truth is the same comparison on all networks of the table, by the mean of all their seeds, each
weighted by how often the searches tried it. `--kept`: the searches that are done, to go on with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from results.effects import Effect, adjusted, choices  # noqa: E402
from space import Architecture  # noqa: E402

Array = NDArray[np.float64]
TABLES = {"digits": 100, "cifar": 50}  # how many trials a search has
LARGE = 0.03  # effects that should be stated in half of the replays
FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A table's networks: their choices, FLOPs and accuracies (N, seeds)."""

    name: str
    columns: dict[str, Array]
    flops: Array
    accuracy: Array
    images: int

    @classmethod
    def load(cls, name: str) -> Trained:
        data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        whole = [n for n in data["networks"] if all("correct" in run for run in n["runs"])]
        images = data["images"]["validation"]
        return cls(
            name=name,
            columns=choices([Architecture.from_dict(n["architecture"]) for n in whole]),
            flops=np.array([n["flops"] for n in whole], float),
            accuracy=np.array([[r["correct"][-1] for r in n["runs"]] for n in whole]) / images,
            images=images,
        )

    def planted(self) -> Trained:
        """The same with accuracies that cost alone explains, and the noise of the trainings."""
        cost, seeds = np.log(self.flops), self.accuracy.shape[1]
        mean = self.accuracy.mean(axis=1)
        smooth = np.polyval(np.polyfit(cost, mean, 4), cost)
        noise = (self.accuracy - mean[:, None]) * np.sqrt(seeds / (seeds - 1))
        return replace(self, accuracy=np.clip(smooth[:, None] + noise, 0, 1))

    def seen(self, seed: int) -> Array:
        """What one search would see of each network: one of its trainings."""
        run = np.random.default_rng((seed, 5)).integers(
            self.accuracy.shape[1], size=len(self.flops)
        )
        return np.asarray(self.accuracy[np.arange(len(self.flops)), run])

    def effects(self, rows: Sequence[int], accuracy: Array, **more: Any) -> list[Effect]:
        """What the report would say of these networks."""
        shown = {name: column[rows] for name, column in self.columns.items()}
        return adjusted(shown, self.flops[rows], accuracy[rows], images=self.images, **more)


def searches(table: Trained, sampler: str, replays: int, kept: Path | None) -> Iterator[list[int]]:
    """The rows that each search trained, by seed."""
    if sampler == "random":
        for seed in range(replays):
            rng = np.random.default_rng(seed)
            yield rng.choice(len(table.flops), TABLES[table.name], replace=False).tolist()
        return
    import optuna

    from benchmarks.search_efficiency import search
    from benchmarks.tabular import vision_transformers

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    file = kept / f"replays_{table.name}_0.jsonl" if kept else None
    done = file.read_text().splitlines() if file and file.is_file() else []
    whole = vision_transformers(FOLDER / f"{table.name}.json")
    for seed in range(replays):
        if seed >= len(done):
            one = replace(whole, accuracy=table.seen(seed)[:, None])
            trials = TABLES[table.name]
            rows, _ = search(one, sampler, seed=seed, workers=2, evaluations=trials)
            done.append(json.dumps({"seed": seed, "rows": rows}))
            if file:
                file.write_text("\n".join(done) + "\n")
        yield json.loads(done[seed])["rows"]


def judge(table: Trained, replayed: list[list[int]], *, planted: bool = False) -> dict[str, Any]:
    """How often statements have the true sign, intervals cover, and large effects are stated."""
    tried = np.bincount(np.concatenate(replayed), minlength=len(table.flops)) / len(replayed)
    everything, mean = list(range(len(table.flops))), table.accuracy.mean(axis=1)
    counts: dict[str, int] = defaultdict(int)
    of_choice: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
    for seed, rows in enumerate(replayed):
        accuracy = table.seen(seed)
        typical = float(np.median(accuracy[rows]))
        true = table.effects(everything, mean, weights=tried, typical=typical)
        truth = {effect.name: 0.0 if planted else effect.gain for effect in true}
        for effect in table.effects(rows, accuracy):
            counts["effects"] += 1
            counts["covered"] += effect.low <= truth[effect.name] <= effect.high
            counts["stated"] += effect.stated
            counts["true sign"] += effect.stated and effect.gain * truth[effect.name] > 0
            of_choice[effect.name].append((truth[effect.name], effect.gain, effect.stated))
    return {
        **counts,
        "coverage": round(counts["covered"] / counts["effects"], 3),
        "choices": {
            name: {
                "truth": round(100 * float(np.mean([row[0] for row in told])), 1),
                "found": round(100 * float(np.mean([row[1] for row in told])), 1),
                "stated": round(float(np.mean([row[2] for row in told])), 2),
            }
            for name, told in of_choice.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--searches", nargs="+", default=["frontier", "random"])
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--replays", type=int, default=100)
    asked = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "effects", "replays": asked.replays}
    for name in asked.tables:
        table = Trained.load(name)
        for sampler in asked.searches:
            replayed = list(searches(table, sampler, asked.replays, asked.kept))
            found = judge(table, replayed)
            report[f"{name} {sampler}"] = found
            report[f"{name} {sampler}, cost alone"] = judge(table.planted(), replayed, planted=True)
            print(f"{name}, {sampler}: coverage {found['coverage']}, {found['true sign']} of "
                  f"{found['stated']} statements true; cost alone: "
                  f"{report[f'{name} {sampler}, cost alone']['stated']} statements")  # fmt: skip
            for choice, told in found["choices"].items():
                large = " large" if abs(told["truth"]) > 100 * LARGE else ""
                print(f"  {choice:22s} {told['truth']:+5.1f} {told['found']:+5.1f}"
                      f"  stated {told['stated']:.2f}{large}")  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main()
