"""Trains a table of architectures to the end, to judge proxies, samplers and stopping rules by.

    python benchmarks/train_table.py digits [--networks 300] [--seeds 3] [--workers 2]
    python benchmarks/train_table.py photos --data FOLDER --networks 120 --seeds 2

Half of the networks are paired: with and without one of `PAIRS`, all else equal. All are spread
evenly over log FLOPs from the smallest network to the budget. Every epoch's training loss and
validation accuracy is kept, and cheaper trainings (`--proxies`) of some of the networks. Goes on
where it was interrupted; the table is written to `tables/NAME.json` at the end, and one that is
there is gone on with by more seeds.

    python benchmarks/train_table.py digits --add "epochs=3 optimizer=muon matrix_rate=0.05"

adds cheaper trainings to the table that is there, and trains nothing else.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from space import Architecture, SearchSpace, count_flops, count_params  # noqa: E402

STRATA, DRAWS = 10, 20_000
BUDGETS = {
    "digits": 2_000_000,
    "cifar": 10_000_000,
    "digits_staged": 2_000_000,
    "photos": 15_000_000,
}
SAMPLES = {"digits": (None, None), "cifar": (2000, 2000), "photos": (5000, 4000)}
PAIRS = {
    "digits": ("reattention", "pooling"),
    "digits_staged": ("reattention", "pooling", "conv_pool", "local", "stem"),
}
LIKE = {"cifar": "digits", "photos": "digits_staged"}  # in what its pairs differ
PROXIES = {
    "digits": ["epochs=3", "epochs=5", "epochs=7", "epochs=15", "samples=0.5", "samples=0.25"],
    "cifar": ["epochs=2", "epochs=3", "epochs=5", "samples=0.5", "samples=0.25", "img_size=16"],
    "digits_staged": ["epochs=3", "epochs=7", "epochs=3 optimizer=muon matrix_rate=0.05"],
    "photos": ["epochs=1", "epochs=2", "epochs=3", "epochs=2 optimizer=muon matrix_rate=0.005"],
}


def stratum(architecture, low: float, high: float) -> int:
    """Which of the equal parts of log FLOPs between `low` and `high` it is in."""
    share = (math.log(count_flops(architecture)) - low) / (high - low)
    return min(int(share * STRATA), STRATA - 1)


def without(space, architecture, what: str):
    """The twin without the kind of that table of the space file; "stem": behind patches."""
    if what == "stem":
        off = {"stem": "patch"}
    else:
        off = next(placement.off() for placement in space.placements if placement.table == what)
    return space.decode(space.encode(architecture) | off)


def design(space, budget: int, networks: int, pairs, seed: int = 0):
    """[(architecture, pair or None)]: half of them pairs, as many by each of `pairs`, half singles,
    each spread over log FLOPs."""
    rng = np.random.default_rng(seed)
    low, high = math.log(count_flops(space.smallest())), math.log(budget)
    drawn = [space.sample(rng) for _ in range(DRAWS)]
    pool = [[] for _ in range(STRATA)]
    for architecture in drawn:
        if count_flops(architecture) <= budget:
            pool[stratum(architecture, low, high)].append(architecture)
    taken, chosen = set(), []

    def take(what: str | None, wanted: int) -> None:
        fits = [iter(members) for members in pool]
        made = 0
        while made < wanted:
            progress = False
            for members in fits:
                for architecture in members:
                    twins = [architecture]
                    if what is not None:
                        twins.append(without(space, architecture, what))
                        if twins[1] == architecture:
                            continue
                    keys = {space.key(twin) for twin in twins}
                    if keys & taken or any(count_flops(twin) > budget for twin in twins):
                        continue
                    taken.update(keys)
                    pair = None if what is None else f"{what}-{made}"
                    chosen.extend((twin, pair) for twin in twins)
                    made, progress = made + 1, True
                    break
                if made == wanted:
                    break
            if not progress:
                break

    for what in pairs:
        take(what, networks // (4 * len(pairs)))
    take(None, networks - len(chosen))
    return chosen


def variant(text: str, dataset, recipe, architecture):
    """(dataset, recipe, architecture) of another training, such as `epochs=5` or
    `optimizer=muon matrix_rate=0.05 epochs=3`."""
    for change in text.split():
        dataset, recipe, architecture = changed(change, dataset, recipe, architecture)
    return dataset, recipe, architecture


def changed(text: str, dataset, recipe, architecture):
    name, value = text.split("=")
    if name in ("epochs", "batch_size"):
        return dataset, dataclasses.replace(recipe, **{name: int(value)}), architecture
    if name in ("matrix_rate", "warmup_epochs"):
        return dataset, dataclasses.replace(recipe, **{name: float(value)}), architecture
    if name == "optimizer":
        return dataset, dataclasses.replace(recipe, optimizer=value), architecture
    if name == "learning_rate":
        fixed = dataclasses.replace(
            recipe, learning_rate=float(value), learning_rate_size=None, reattention_rate=1.0
        )
        return dataset, fixed, architecture
    if name == "samples":
        count = int(len(dataset.train_labels) * float(value))
        rows = np.random.default_rng(0).permutation(len(dataset.train_labels))[:count]
        fewer = dataclasses.replace(
            dataset,
            train_images=dataset.train_images[rows],
            train_labels=dataset.train_labels[rows],
        )
        return fewer, recipe, architecture
    return dataset, recipe, dataclasses.replace(architecture, img_size=int(value))


_here = {}  # what a worker process loads once


def start_worker(data) -> None:
    import torch

    torch.set_num_threads(1)
    _here["dataset"] = load(data)


def load(data):
    """The images of the table."""
    from trainers import load_dataset

    name, (train_samples, val_samples) = data
    size = None if name == "digits" else 32
    return load_dataset(
        name, img_size=size, train_samples=train_samples, val_samples=val_samples, seed=0
    )


def train(network: int, seed: int, text: str, values: dict) -> dict:
    """One training, as a row of the parts file."""
    from trainers import Recipe, evaluate, train_proxy

    dataset = _here["dataset"]
    row = {"network": network, "seed": seed, "proxy": text}
    try:
        used, recipe, architecture = variant(
            text, dataset, Recipe.for_dataset(dataset), Architecture.from_dict(values)
        )
    except ValueError as error:
        return row | {"error": str(error)}
    outcome = train_proxy(architecture, used, recipe, 1000 * seed + network)
    if outcome.state != "complete":
        return row | {"error": outcome.error}
    val = len(dataset.val_labels)
    row["correct"] = [round(epoch["accuracy"] * val) for epoch in outcome.curve]
    row["loss"] = [round(epoch["train_loss"], 3) for epoch in outcome.curve]
    if not text:
        _, accuracy = evaluate(
            outcome.model, dataset.test_images, dataset.test_labels,
            mean=dataset.mean, std=dataset.std,
        )  # fmt: skip
        row["test"] = round(accuracy * len(dataset.test_labels))
    row["seconds"] = round(outcome.seconds, 2)
    return row


def described(arguments, data) -> dict:
    """What was trained, how and on what."""
    from trainers import Recipe

    dataset = load(data)
    packages = ("torch", "timm", "numpy")
    return {
        "schema": 1,
        "space": arguments.space,
        "budget_flops": arguments.budget,
        "images": {
            "train": len(dataset.train_labels),
            "validation": len(dataset.val_labels),
            "test": len(dataset.test_labels),
            "num_classes": dataset.num_classes,
            "img_size": dataset.img_size,
        },
        "recipe": Recipe.for_dataset(dataset).to_dict(),
        "hardware": f"{platform.machine()} CPU, one thread a training",
        "versions": {name: metadata.version(name) for name in packages},
        "seed": "1000 * seed + network",
    }


def trained(work, data, workers: int):
    """The rows of `work` ((network, seed, text, architecture), ...) as they are done."""
    with concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(data,),
    ) as pool:
        futures = [pool.submit(train, *job) for job in work]
        for count, future in enumerate(concurrent.futures.as_completed(futures), start=1):
            yield future.result()
            if count % 50 == 0:
                print(f"{count}/{len(work)}", flush=True)


def known(out: Path, networks) -> list[dict]:
    """The trainings of a table that is there, if it is of these networks."""
    there = json.loads(out.read_text())["networks"] if out.exists() else []
    if [n["architecture"] for n in there] != [a.to_dict() for a, _ in networks]:
        return []
    rows = []
    for i, network in enumerate(there):
        rows += [
            {"network": i, "seed": k, "proxy": ""} | run for k, run in enumerate(network["runs"])
        ]
        cheaper = network["proxies"].items()
        rows += [{"network": i, "seed": 0, "proxy": text} | run for text, run in cheaper]
    return rows


def write(table: dict, out: Path) -> None:
    """The table with a network a line."""
    lines = ",\n".join(json.dumps(n, separators=(",", ":")) for n in table["networks"])
    head = {key: value for key, value in table.items() if key != "networks"}
    text = json.dumps(head, separators=(",", ":"))[:-1]
    partial = out.with_suffix(".partial")
    partial.write_text(f'{text},"networks":[\n{lines}\n]}}\n')
    partial.replace(out)


def add(texts, out: Path, data, workers: int) -> None:
    """Cheaper trainings of the networks of a table that have some, by the first seed; written
    every 20 trainings, so that it goes on where it was interrupted."""
    table = json.loads(out.read_text())
    some = [(i, n) for i, n in enumerate(table["networks"]) if n["proxies"]]
    work = [(i, 0, t, n["architecture"]) for t in texts for i, n in some if t not in n["proxies"]]
    print(f"{len(some)} networks, {len(work)} trainings to do", flush=True)
    for count, row in enumerate(trained(work, data, workers), start=1):
        kept = {k: row[k] for k in ("correct", "loss", "seconds", "error") if k in row}
        table["networks"][row["network"]]["proxies"][row["proxy"]] = kept
        if count % 20 == 0 or count == len(work):
            write(table, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", choices=list(BUDGETS))
    parser.add_argument("--data", help="The images; needed for photographs.")
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int)
    parser.add_argument("--proxies", nargs="*", help="Cheaper trainings, of seed 0.")
    parser.add_argument("--add", nargs="*", help="Trainings to add to the table that is there.")
    parser.add_argument("--proxy-networks", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.budget = arguments.budget or BUDGETS[arguments.space]
    out = arguments.out or ROOT / "benchmarks" / "tables" / f"{arguments.space}.json"
    data = (arguments.data or "digits", SAMPLES.get(arguments.space, (None, None)))
    if not arguments.space.startswith("digits") and not arguments.data:
        parser.error(f"the table of {arguments.space} needs its images: add --data FOLDER")
    os.environ["OMP_NUM_THREADS"] = "1"
    if arguments.add:
        add(arguments.add, out, data, arguments.workers)
        return
    about = described(arguments, data)
    images = about["images"]
    space = SearchSpace.load(arguments.space).fit(
        img_size=images["img_size"], in_chans=1 if data[0] == "digits" else 3,
        num_classes=images["num_classes"],
    )  # fmt: skip
    pairs = PAIRS[LIKE.get(arguments.space, arguments.space)]
    networks = design(space, arguments.budget, arguments.networks, pairs)
    proxies = arguments.proxies if arguments.proxies is not None else PROXIES[arguments.space]
    # Every second network (a pair counts as two) of the design has cheaper trainings too.
    step = max(1, round(len(networks) / arguments.proxy_networks))
    some = [i for i in range(len(networks)) if (i // 2) % step == 0]
    jobs = [(i, seed, "") for seed in range(arguments.seeds) for i in range(len(networks))]
    jobs += [(i, 0, text) for text in proxies for i in some]
    parts = out.with_suffix(".parts.jsonl")
    rows = [json.loads(line) for line in parts.read_text().splitlines()] if parts.exists() else []
    rows += known(out, networks)
    have = {(row["network"], row["seed"], row["proxy"]) for row in rows}
    waiting = [job for job in jobs if job not in have]
    print(f"{len(networks)} networks, {len(waiting)} of {len(jobs)} trainings to do", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with parts.open("a") as file:
        work = [(*job, networks[job[0]][0].to_dict()) for job in waiting]
        for row in trained(work, data, arguments.workers):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    table = about | {"networks": []}
    index = {(row["network"], row["seed"], row["proxy"]): row for row in rows}
    for i, (architecture, pair) in enumerate(networks):
        kept = ("correct", "loss", "test", "seconds", "error")
        runs = [index[i, seed, ""] for seed in range(arguments.seeds)]
        cheaper = {text: index[i, 0, text] for text in proxies if (i, 0, text) in index}
        table["networks"].append({
            "architecture": architecture.to_dict(),
            "flops": count_flops(architecture),
            "params": count_params(architecture),
            "pair": pair,
            "runs": [{k: run[k] for k in kept if k in run} for run in runs],
            "proxies": {
                text: {k: run[k] for k in kept if k in run} for text, run in cheaper.items()
            },
        })  # fmt: skip
    write(table, out)
    seconds = sum(row.get("seconds", 0) for row in rows)
    print(json.dumps({"table": out.name, "trainings": len(rows), "core_seconds": round(seconds)}))


if __name__ == "__main__":
    main()
