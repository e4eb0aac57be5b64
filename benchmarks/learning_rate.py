"""Does the recipe's learning rate fit all sizes? Anchors of a table at other rates.

    python benchmarks/learning_rate.py [--anchors 12] [--seeds 2] [--factors 0.5 2 4]
    python benchmarks/learning_rate.py --table benchmarks/tables/cifar.json --data FOLDER
    python benchmarks/learning_rate.py --table benchmarks/tables/cifar.json --data FOLDER --all

Accuracies at the recipe's own rate are those of the table; with `--all` images, of which larger
batches are made, they are trained too. A network's best rate is chosen by one
seed and judged by the others: the best of several noisy numbers is higher without being better.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy.stats import kendalltau  # noqa: E402

from benchmarks.train_table import SAMPLES, load, start_worker, train  # noqa: E402
from space import Architecture  # noqa: E402


def spread(networks, count: int) -> list[int]:
    """`count` networks far from each other in depth and log FLOPs: each time the farthest from
    those taken, first the shallowest."""
    places = np.array([
        [n["architecture"]["depth"], np.log(n["flops"])] for n in networks
    ])  # fmt: skip
    places = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    taken = [int(np.lexsort((places[:, 1], places[:, 0]))[0])]
    while len(taken) < count:
        distances = np.linalg.norm(places[:, None] - places[taken], axis=2).min(axis=1)
        taken.append(int(distances.argmax()))
    return sorted(taken, key=lambda i: networks[i]["flops"])


def accuracies(networks, data, rows: list[int], factors, seeds: int, workers: int, known: bool):
    """(networks, factors, seeds) final validation accuracy; `known`: the table has those at 1."""
    from trainers import Recipe

    dataset = load(data)
    recipe, validation = Recipe.for_dataset(dataset), len(dataset.val_labels)
    print(f"{len(dataset.train_labels)} images, batches of {recipe.batch_size}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(data,),
    ) as pool:
        runs = {}
        for row in rows:
            values = networks[row]["architecture"]
            rate = recipe.for_architecture(Architecture.from_dict(values)).learning_rate
            for factor in factors:
                text = f"learning_rate={rate * factor:.6g}"
                for seed in range(seeds):
                    if factor != 1.0 or not known:
                        runs[row, factor, seed] = pool.submit(train, row, seed, text, values)
        result = np.empty((len(rows), len(factors), seeds))
        for i, row in enumerate(rows):
            for k, factor in enumerate(factors):
                for seed in range(seeds):
                    future = runs.get((row, factor, seed))
                    run = future.result() if future else networks[row]["runs"][seed]
                    result[i, k, seed] = run["correct"][-1] / validation
            print_row(networks[row], result[i].mean(axis=1))
    return result


def print_row(network, means) -> None:
    a = network["architecture"]
    what = f"{a['depth']:>3} blocks, {a['embed_dim']:>3} wide, patch {a['patch_size']}, "
    what += f"{len(a['reattention']):>2} Re-attention, {len(a['pools'])} pools"
    print(f"{network['flops']:>9,}  {what}  " + "  ".join(f"{m:.3f}" for m in means), flush=True)


def judge(accuracy, factors) -> dict:
    """`accuracy` (networks, factors, seeds) -> gains and rank correlations."""
    seeds = range(accuracy.shape[2])
    mean, own = accuracy.mean(axis=2), factors.index(1.0)
    means = dict(zip(map(str, factors), mean.mean(axis=0).round(4).tolist(), strict=True))
    if len(seeds) == 1:
        return {"networks": len(accuracy), "seeds": 1, "mean": means}
    gains, tuned = [], np.zeros(len(accuracy))
    for seed in seeds:
        others = accuracy[:, :, [s for s in seeds if s != seed]].mean(axis=2)
        chosen = others[np.arange(len(others)), accuracy[:, :, seed].argmax(axis=1)]
        gains.append(chosen - others[:, own])
        tuned += chosen / len(seeds)
    gain = np.mean(gains, axis=0)
    return {
        "networks": len(accuracy),
        "seeds": len(seeds),
        "mean": means,
        "tau_own_best": round(float(kendalltau(mean[:, own], mean.max(axis=1)).statistic), 3),
        "tau_own_best_judged_by_others": round(float(kendalltau(mean[:, own], tuned).statistic), 3),
        "tau_two_seeds_at_the_recipes_rate": round(
            float(kendalltau(accuracy[:, own, 0], accuracy[:, own, 1]).statistic), 3
        ),
        "largest_gain": round(float((mean.max(axis=1) - mean[:, own]).max()), 4),
        "largest_gain_judged_by_others": round(float(gain.max()), 4),
        "mean_gain_judged_by_others": round(float(gain.mean()), 4),
        "gain": gain.round(4).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks/tables/digits.json")
    parser.add_argument("--anchors", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2, choices=[1, 2, 3])
    parser.add_argument("--data", default="digits", help="the images of the table")
    parser.add_argument("--all", action="store_true", help="train on all of them")
    parser.add_argument("--budget", type=float, default=np.inf, help="FLOPs of an anchor at most")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 2.0, 4.0])
    options = parser.parse_args()
    factors = sorted({1.0, *options.factors})
    table = json.loads(options.table.read_text())
    networks = table["networks"]
    affordable = [i for i, n in enumerate(networks) if n["flops"] <= options.budget]
    rows = [affordable[i] for i in spread([networks[i] for i in affordable], options.anchors)]
    print("    FLOPs  network" + " " * 48 + "  ".join(f"x {factor:<3g}" for factor in factors))
    samples = (None, None) if options.all else SAMPLES[table["space"]]
    accuracy = accuracies(
        networks, (options.data, samples), rows, factors, options.seeds, options.workers,
        known=not options.all,
    )  # fmt: skip
    print(json.dumps({"benchmark": "learning_rate"} | judge(accuracy, factors)))


if __name__ == "__main__":
    main()
