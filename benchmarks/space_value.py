"""What a wider space is worth: searches of two spaces for equal training compute, and the networks
that they announce, trained anew.

    python benchmarks/space_value.py digits --keep FOLDER [--trials 24] [--seeds 3]
    python benchmarks/space_value.py photos --data FOLDER --keep FOLDER [--trials 24] [--seeds 3]

Every search is a run of the command line; one that --keep FOLDER already holds is read, one that
was cut is gone on with. Compute is epochs x images x FLOPs of all trials. The member of most
validation accuracy within each of the `--budgets` is trained again from `--final-samples` images
for `--final-epochs`, by seeds that the search never saw. Without those two it is trained as it was
searched; without --epochs that is `--proxy faithful`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.search_compute import progress, volume_at  # noqa: E402
from results import load_run  # noqa: E402

SPACES = {"digits": ("digits", "digits_staged"), "photos": ("cifar", "photos")}
BUDGETS = {"digits": (100_000, 400_000, 2_000_000), "photos": (3_000_000, 10_000_000, 30_000_000)}


def search(out: Path, space: str, seed: int, arguments) -> None:
    """One search to its end; nothing is done for one that is there."""
    if (out / "run.json").exists():
        words = ["resume", out]
    else:
        words = ["search", "--space", space, "--budget", max(arguments.budgets)]
        words += ["--trials", arguments.trials, "--seed", seed, "--workers", arguments.workers]
        words += ["--proxy", "faithful", "--no-baselines", "--out", out]
        for option in ("epochs", "train_samples", "val_samples"):
            if getattr(arguments, option) is not None:
                words += [f"--{option.replace('_', '-')}", getattr(arguments, option)]
        if arguments.images == "photos":
            words += ["--data", arguments.data, "--img-size", 32]
    command = list(map(str, [sys.executable, "-m", "search", *words]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL)


def announced(run, budget: int):
    """The frontier's member of most validation accuracy within `budget` FLOPs; None without one."""
    within = [record for record in run.front if record.flops <= budget]
    return max(within, key=lambda record: record.accuracy, default=None)


def trained_anew(member, seed: int, arguments) -> float:
    """Test accuracy of that network, trained by another seed."""
    import torch

    from trainers import Recipe, evaluate, load_dataset, train_proxy

    torch.set_num_threads(1)
    digits = arguments.images == "digits"
    dataset = load_dataset(
        "digits" if digits else arguments.data, img_size=None if digits else 32,
        train_samples=arguments.final_samples or arguments.train_samples,
        val_samples=arguments.val_samples, seed=100 + seed,
    )  # fmt: skip
    recipe = Recipe.for_dataset(dataset, arguments.final_epochs or arguments.epochs)
    outcome = train_proxy(member.architecture, dataset, recipe, 10_000 + seed)
    if outcome.state != "complete":
        raise RuntimeError(f"a network that was announced could not be trained: {outcome.error}")
    _, accuracy = evaluate(
        outcome.model, dataset.test_images, dataset.test_labels, mean=dataset.mean, std=dataset.std
    )
    return accuracy


def finals(runs, arguments) -> dict:
    """Test accuracies {space: {budget: [of each search and each seed]}}; kept as they come."""
    path = arguments.keep / "finals.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    table: dict = {}
    for (space, seed), run in runs.items():
        for budget in arguments.budgets:
            member = announced(run, budget)
            for again in range(arguments.final_seeds):
                name = f"{space} {seed} {budget} {again}"
                if member is not None and name not in kept:
                    kept[name] = trained_anew(member, again, arguments)
                    path.write_text(json.dumps(kept))
                    print(f"{name}: {member.flops:,} FLOPs, test {kept[name]:.3f}", flush=True)
                if member is not None:
                    table.setdefault(space, {}).setdefault(budget, []).append(kept[name])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", choices=list(SPACES))
    parser.add_argument("--data", help="The images; needed for photos.")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--budgets", type=int, nargs="+")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--val-samples", type=int)
    parser.add_argument("--final-samples", type=int)
    parser.add_argument("--final-epochs", type=int)
    parser.add_argument("--final-seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.images == "photos" and not arguments.data:
        parser.error("photos need their images: add --data FOLDER")
    arguments.budgets = arguments.budgets or BUDGETS[arguments.images]
    arguments.keep.mkdir(parents=True, exist_ok=True)
    runs = {}
    for seed in range(arguments.seeds):
        for space in SPACES[arguments.images]:
            out = arguments.keep / f"{space}-{seed}"
            search(out, space, seed, arguments)
            runs[space, seed] = load_run(out)
            spent, volume = progress(runs[space, seed])[-1]
            print(f"{space} seed {seed}: hypervolume {volume:.4f} for {spent:.3g}", flush=True)
    old, new = SPACES[arguments.images]
    ratios = []
    for seed in range(arguments.seeds):
        steps = {space: progress(runs[space, seed]) for space in (old, new)}
        compute = min(steps[old][-1][0], steps[new][-1][0])
        ratios.append(volume_at(steps[new], compute) / volume_at(steps[old], compute))
    table = finals(runs, arguments)
    rows = {
        budget: {
            space: [round(float(np.mean(values)), 4), round(float(np.std(values, ddof=1)), 4)]
            for space in (old, new)
            if len(values := table.get(space, {}).get(budget, [])) > 1
        }
        for budget in arguments.budgets
    }
    print(json.dumps({
        "benchmark": "space_value", "images": arguments.images, "trials": arguments.trials,
        "seeds": arguments.seeds, "epochs": arguments.epochs,
        "train_samples": arguments.train_samples, "final_samples": arguments.final_samples,
        "final_epochs": arguments.final_epochs, "final_seeds": arguments.final_seeds,
        "hypervolume_ratio_at_equal_compute": [round(ratio, 3) for ratio in ratios],
        "test_accuracy_mean_sd": rows,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
