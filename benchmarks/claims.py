"""Do the two papers' claims hold at proxy scale? Attention that collapses with depth, and pooling.

    python benchmarks/claims.py --data FOLDER --keep FILE.jsonl --train-samples 2000 --epochs 6

DeepViT (arXiv 2103.11886): with depth the maps of neighbouring blocks become alike, and
Re-attention gains more the deeper a network is. Plain ViTs of several depths, and each with
Re-attention in all blocks, by accuracy and by the mean cosine of the columns of neighbouring
blocks' maps (the paper's equation 1). HVT (arXiv 2103.10619): pooling gains at equal FLOPs. The
same networks, and each with one pooling after a third of its blocks, as wide as the FLOPs allow.
Accuracy on test images, mean and standard deviation of the seeds, which change weights and order
of the images; intervals of differences are Student's over the seeds, 95 %. Every training is kept
in FILE as it ends, so that the same command goes on, and tells what is known so far.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from scipy.stats import t as student

from space import Architecture, Pool, attention_maps, count_flops
from trainers import Dataset, Recipe, evaluate, load_dataset, train_proxy

WIDTH, HEAD_DIM = 64, 16
KINDS = ("plain", "reattention", "pooled")
LOOKED_AT = 128  # test images whose maps are compared
VAL_SAMPLES = 200  # nothing is chosen by them


def networks(depths: list[int], dataset: Dataset, patch_size: int) -> dict[str, Architecture]:
    """By "kind depth"; a pooled one has the width whose FLOPs are nearest to the plain one's."""
    found = {}
    for depth in depths:
        plain = Architecture(
            img_size=dataset.img_size, in_chans=dataset.in_chans, num_classes=dataset.num_classes,
            patch_size=patch_size, embed_dim=WIDTH, depth=depth, num_heads=WIDTH // HEAD_DIM,
        )  # fmt: skip
        pool = Pool(after=max(depth // 3 - 1, 0), kernel_size=2, stride=2, op="max")
        wider = [
            plain.replace(embed_dim=dim, num_heads=dim // HEAD_DIM, pools=(pool,))
            for dim in range(WIDTH, 4 * WIDTH, HEAD_DIM)
        ]
        target = count_flops(plain)
        found[f"plain {depth}"] = plain
        found[f"reattention {depth}"] = plain.replace(reattention=tuple(range(depth)))
        found[f"pooled {depth}"] = min(wider, key=lambda a: abs(count_flops(a) - target))
    return found


def similarity(maps: list[torch.Tensor]) -> float:
    """Mean cosine, over images, heads and keys, of the columns of neighbouring blocks' maps."""
    pairs = [
        torch.cosine_similarity(first, second, dim=-2).mean()
        for first, second in itertools.pairwise(maps)
        if first.shape == second.shape
    ]
    return float(torch.stack(pairs).mean()) if pairs else float("nan")


def chosen_test(dataset: Dataset, most: int | None) -> tuple[Any, Any]:
    """Images (N, C, S, S) and labels of at most that many of the test split, drawn by one seed."""
    count = len(dataset.test_labels)
    rows = np.sort(np.random.default_rng(0).permutation(count)[: most or count])
    return dataset.test_images[rows], dataset.test_labels[rows]


def trained(
    architecture: Architecture, dataset: Dataset, recipe: Recipe, seed: int, test: tuple[Any, Any]
) -> Any:
    """One training: accuracy on the test images and likeness of its maps."""
    outcome = train_proxy(architecture, dataset, recipe, seed)
    if outcome.model is None:
        return {"error": outcome.error}
    _, accuracy = evaluate(outcome.model, *test, mean=dataset.mean, std=dataset.std)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (dataset.mean, dataset.std))
    rows = np.linspace(0, len(test[1]) - 1, LOOKED_AT).astype(int)  # of all classes
    images = (torch.from_numpy(test[0][rows]).float() / 255 - mean) / std
    with torch.no_grad():
        alike = similarity(attention_maps(outcome.model.eval(), images))
    return {"accuracy": accuracy, "alike": alike, "seconds": round(outcome.seconds, 1)}


def difference(first: list[float], second: list[float]) -> list[float]:
    """Mean of second less first, seed by seed, with its 95 % interval; in points."""
    gains = 100 * (np.array(second) - np.array(first))
    if len(gains) < 2:
        return [float(gains.mean()), float("nan"), float("nan")]
    half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return [
        round(float(value), 2) for value in (gains.mean(), gains.mean() - half, gains.mean() + half)
    ]


def spread(values: list[float]) -> list[float]:
    """Mean and standard deviation; that of a single value is not known."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return [round(float(np.mean(values)), 4), round(deviation, 4)]


def report(rows: dict[tuple[str, int], Any], nets: dict[str, Architecture], seeds: int) -> Any:
    """The table, in Markdown, and what of it is known so far."""
    told: dict[str, Any] = {}
    print("| network | width | MFLOPs | seeds | accuracy | likeness of maps | to plain, points |")
    print("|---|---|---|---|---|---|---|")
    for name, architecture in nets.items():
        kind, _, depth = name.partition(" ")
        both = [s for s in range(seeds) if "accuracy" in rows.get((name, s), {})]
        if not both:
            continue
        accuracy = spread([rows[name, s]["accuracy"] for s in both])
        alike = spread([rows[name, s]["alike"] for s in both])
        paired = [s for s in both if "accuracy" in rows.get((f"plain {depth}", s), {})]
        gain = difference(
            [rows[f"plain {depth}", s]["accuracy"] for s in paired],
            [rows[name, s]["accuracy"] for s in paired],
        ) if paired and kind != "plain" else None  # fmt: skip
        told[name] = {
            "flops": count_flops(architecture), "seeds": len(both), "alike": alike,
            "accuracy": accuracy, "to_plain": gain,
        }  # fmt: skip
        print(
            f"| {name} | {architecture.embed_dim} | {count_flops(architecture) / 1e6:.1f} "
            f"| {len(both)} | {accuracy[0]:.3f} ± {accuracy[1]:.3f} "
            f"| {alike[0]:.3f} ± {alike[1]:.3f} "
            f"| {'{:+.1f} ({:+.1f} to {:+.1f})'.format(*gain) if gain else ''} |"
        )
    return told


def kept_rows(file: Path, about: list[Any]) -> dict[tuple[str, int], Any]:
    """Trainings of that data and scale, by network and seed; a line torn by a crash is none."""
    rows = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if row["about"] == about:
                rows[row["network"], row["seed"]] = row
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--img-size", type=int, default=None)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--patch-size", type=int, default=4)
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--test-samples", type=int, help="By default the whole split.")
    parser.add_argument("--epochs", type=int, help="By default those of --proxy faithful.")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = options.img_size or (None if options.data == "digits" else 32)
    dataset = load_dataset(
        options.data, img_size=size, train_samples=options.train_samples,
        val_samples=VAL_SAMPLES, seed=0,
    )  # fmt: skip
    test = chosen_test(dataset, options.test_samples)
    recipe = Recipe.for_dataset(dataset, epochs=options.epochs)
    nets = networks(options.depths, dataset, options.patch_size)
    about = [
        len(dataset.train_labels), recipe.epochs, options.patch_size, dataset.name, len(test[1]),
    ]  # fmt: skip
    rows = kept_rows(options.keep, about)
    for seed in range(options.seeds):  # so that a part of it has all networks
        for name, architecture in nets.items():
            if (name, seed) in rows:
                continue
            row = {"network": name, "seed": seed, "about": about}
            row |= trained(architecture, dataset, recipe, seed, test)
            rows[name, seed] = row
            with options.keep.open("a") as file:
                file.write("\n" + json.dumps(row))
    told = report(rows, nets, options.seeds)
    print(json.dumps({"benchmark": "claims", "about": about, "networks": told}))


if __name__ == "__main__":
    main()
