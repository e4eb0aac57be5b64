"""Trains a table of fine-tuned variants of a donor, to judge short fine-tunings by.

    python benchmarks/finetune_table.py [--networks 60] [--seeds 2] [--minutes 30]
    python benchmarks/finetune_table.py --task other

The donor, a plain ViT of ten blocks on 512 digits of 16 pixels, is trained here first. Variants are
of the space that `--init` makes of it, spread evenly over log FLOPs. `same`: fine-tuned on the
donor's images; `other`: on the classes 5 to 9, of which the donor has seen none. A full fine-tuning
takes the epochs of `--proxy faithful`; shorter ones are `--proxies`. Goes on where it was
interrupted, with more networks too; `tables/finetune.json` has those that are done, in the form of
`train_table.py`: `proxy_rank.py --table` judges it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.train_table import design, variant, write  # noqa: E402
from space import Architecture, count_flops, count_params, space_of  # noqa: E402

DONOR = {
    "img_size": 16, "patch_size": 4, "in_chans": 1, "embed_dim": 32, "depth": 10, "num_heads": 2,
    "mlp_ratio": 2.0, "head": "token",
}  # fmt: skip
DONOR_EPOCHS = 60
PROXIES = ("epochs=1", "epochs=3", "epochs=7", "epochs=15")


def images(task: str):
    """(those of the donor, those of the variants)."""
    from trainers import load_dataset

    data = load_dataset("digits", img_size=16, train_samples=512, val_samples=700, seed=0)
    return (data, data) if task == "same" else (only(data, range(5)), only(data, range(5, 10)))


def only(data, classes):
    """The images of these classes alone."""
    changes = {"class_names": tuple(data.class_names[c] for c in classes)}
    for split in ("train", "val", "test"):
        labels = getattr(data, f"{split}_labels")
        rows = np.isin(labels, list(classes))
        changes[f"{split}_images"] = getattr(data, f"{split}_images")[rows]
        changes[f"{split}_labels"] = labels[rows] - classes[0]
    return dataclasses.replace(data, **changes)


def donor_of(data, file: Path):
    """The donor, trained here if `file` does not have it."""
    from safetensors.torch import save_file

    from trainers import Recipe, train_proxy
    from trainers.init import donor_of_network

    a = Architecture(num_classes=data.num_classes, **DONOR)
    if not file.exists():
        recipe = Recipe.for_dataset(data, epochs=DONOR_EPOCHS)
        trained = train_proxy(a, data, recipe, seed=0, device="cpu")
        print(f"donor: accuracy {trained.accuracy:.4f}, {trained.seconds:.0f} s", flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(trained.model.state_dict(), file)
    known = a.replace(donor_blocks=tuple(range(a.depth)))
    return donor_of_network(file.name, known, file, mean=data.mean, std=data.std)


def tuned(architecture, data, donor, recipe, seed: int, **options) -> dict:
    """One fine-tuning, as a row."""
    from trainers import evaluate, proxy_epochs

    training = proxy_epochs(
        architecture, data, recipe, seed=seed, device="cpu", donor=donor, **options
    )
    curve, count = list(training), len(data.val_labels)
    _, test = evaluate(
        training.model, data.test_images, data.test_labels, mean=data.mean, std=data.std,
        img_size=architecture.img_size,
    )  # fmt: skip
    return {
        "correct": [round(epoch["accuracy"] * count) for epoch in curve],
        "loss": [round(epoch["train_loss"], 3) for epoch in curve],
        "test": round(test * len(data.test_labels)),
        "seconds": round(sum(epoch["seconds"] for epoch in curve), 2),
    }


def table_of(networks, rows, proxies, about) -> dict:
    """The networks whose trainings are all done."""
    done = []
    for i, architecture in enumerate(networks):
        runs = [rows[i, seed, ""] for seed in range(about["seeds"]) if (i, seed, "") in rows]
        short = {text: rows[i, 0, text] for text in proxies if (i, 0, text) in rows}
        if len(runs) < about["seeds"] or len(short) < len(proxies):
            continue
        done.append({
            "architecture": architecture.to_dict(), "flops": count_flops(architecture),
            "params": count_params(architecture), "pair": None, "runs": runs, "proxies": short,
        })  # fmt: skip
    return about | {"networks": done}


def main() -> None:
    from trainers import Recipe

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=("same", "other"), default="same")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--proxies", nargs="*", default=PROXIES)
    parser.add_argument("--minutes", type=float, help="Stop after so many. [when all is done]")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    name = "finetune" if options.task == "same" else "finetune_other"
    out = options.out or ROOT / "benchmarks" / "tables" / f"{name}.json"
    first, data = images(options.task)
    donor = donor_of(first, out.with_suffix(".donor.safetensors"))
    data = dataclasses.replace(data, mean=donor.mean, std=donor.std)
    space = space_of(
        donor.architecture, name=name, img_size=16, in_chans=1, num_classes=data.num_classes
    )
    budget = count_flops(donor.architecture)
    networks = [a for a, _ in design(space, budget, options.networks, pairs=())]
    recipe = Recipe.for_dataset(data).for_donor()
    about = {
        "schema": 1, "space": name, "budget_flops": budget, "seeds": options.seeds,
        "images": {
            "train": len(data.train_labels), "validation": len(data.val_labels),
            "test": len(data.test_labels), "num_classes": data.num_classes, "img_size": 16,
        },
        "recipe": recipe.to_dict(), "donor": donor.architecture.to_dict(),
        "donor_epochs": DONOR_EPOCHS, "seed": "1000 * seed + network",
    }  # fmt: skip
    parts = out.with_suffix(".parts.jsonl")
    lines = [json.loads(line) for line in parts.read_text().splitlines()] if parts.exists() else []
    rows = {tuple(row.pop("job")): row for row in lines}
    texts = [(seed, "") for seed in range(options.seeds)] + [(0, text) for text in options.proxies]
    jobs = [(i, seed, text) for i in range(len(networks)) for seed, text in texts]
    until = time.monotonic() + 60 * (options.minutes or 10**6)
    for job in jobs:
        if job in rows or time.monotonic() > until:
            continue
        i, seed, text = job
        used, how, architecture = variant(text, data, recipe, networks[i])
        rows[job] = tuned(architecture, used, donor, how, 1000 * seed + i)
        with parts.open("a") as file:
            file.write(json.dumps({"job": job, **rows[job]}) + "\n")
    table = table_of(networks, rows, options.proxies, about)
    write(table, out)
    print(json.dumps({"table": out.name, "networks": len(table["networks"]), "of": len(networks)}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
