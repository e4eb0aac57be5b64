"""Does a cheap training rank more truly if it starts from the weights of a trained neighbour?

    python benchmarks/inherited_weights.py [--epochs 3] [--networks 54] [--donors 20]

Networks of `tables/digits.json`, spread over log FLOPs. Donors are trained in full; every other
network trains for `--epochs`, once from scratch and once from the leading slices of the nearest
donor's parameters (AutoFormer's entanglement, arXiv 2107.00651), by the same seed. The truth about
it is the mean of its full trainings in the table but the first seed's. Prints a table and one line
of JSON; intervals are bootstraps over networks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from numpy.typing import NDArray
from proxy_rank import TABLES, controls, load, taus
from torch import Tensor

from space import Architecture, architecture_features
from trainers import Recipe, load_dataset, proxy_epochs

Array = NDArray[np.float64]
DONOR_SEED, REPEATS = 10_000, 1000
PER_PLACE = ("pos_embed", "patch_embed.")  # of no use for other tokens or other patches


@torch.no_grad()
def inherit(child: dict[str, Tensor], donor: dict[str, Tensor]) -> float:
    """Copies the leading slices of what both have into `child`; their share of its parameters."""
    copied = 0
    for name, tensor in child.items():
        theirs = donor.get(name)
        if theirs is None or theirs.ndim != tensor.ndim or not tensor.is_floating_point():
            continue
        if any(part in name for part in PER_PLACE) and theirs.shape[1:-1] != tensor.shape[1:-1]:
            continue
        if ".qkv." in name:  # queries, keys and values, each with slices of its own
            tensor, theirs = (part.view(3, -1, *part.shape[1:]) for part in (tensor, theirs))
        place = tuple(
            slice(min(ours, their)) for ours, their in zip(tensor.shape, theirs.shape, strict=True)
        )
        tensor[place] = theirs[place]
        copied += tensor[place].numel()
    return copied / sum(tensor.numel() for tensor in child.values())


def spread(flops: Array, count: int) -> NDArray[np.intp]:
    """`count` rows, evenly over the order of FLOPs."""
    order = np.argsort(flops, kind="stable")
    return order[np.linspace(0, len(order) - 1, count).round().astype(int)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--networks", type=int, default=54)
    parser.add_argument("--donors", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table, data = load(TABLES / "digits.json"), load_dataset("digits")
    architectures = [Architecture.from_dict(values) for values in table.architectures]
    features = np.array([architecture_features(a) for a in architectures])
    features /= np.maximum(features.std(axis=0), 1e-9)
    donors = spread(table.flops, arguments.donors)
    rest = np.setdiff1d(np.arange(len(architectures)), donors)
    rows = rest[spread(table.flops[rest], arguments.networks)]

    full, short = (Recipe.for_dataset(data, epochs=epochs) for epochs in (None, arguments.epochs))
    trained = {}
    for donor in donors.tolist():
        training = proxy_epochs(
            architectures[donor], data, full, seed=DONOR_SEED + donor, device="cpu"
        )
        list(training)
        trained[donor] = training.model.state_dict()
    accuracy, shares = np.zeros((2, len(rows))), list[float]()
    for place, row in enumerate(rows.tolist()):
        nearest = min(trained, key=lambda d: float(np.linalg.norm(features[row] - features[d])))
        for start in (0, 1):
            training = proxy_epochs(architectures[row], data, short, seed=row, device="cpu")
            if start:
                shares.append(inherit(training.model.state_dict(), trained[nearest]))
            *_, last = training
            accuracy[start, place] = last["accuracy"]

    truth = table.val[rows, 1:, -1].mean(axis=1)

    def judged(at: Any) -> Array:
        """(2, 2): from scratch and inherited, tau and tau at fixed cost."""
        given = controls(table.flops[rows][at], table.params[rows][at])
        return np.array([taus(accuracy[start][at], truth[at], given) for start in (0, 1)])

    found, rng = judged(slice(None)), np.random.default_rng(0)
    drawn = [judged(rng.integers(len(rows), size=len(rows))) for _ in range(REPEATS)]
    low, high = np.quantile([tau[1] - tau[0] for tau in drawn], (0.025, 0.975), axis=0)
    print(f"{arguments.epochs} epochs, {len(rows)} networks, {arguments.donors} donors")
    print("start        accuracy   tau  at fixed cost")
    for name, start in (("scratch", 0), ("inherited", 1)):
        raw, fixed = found[start]
        print(f"{name:12} {accuracy[start].mean():8.3f} {raw:5.2f} {fixed:14.2f}")
    print(json.dumps({
        "benchmark": "inherited_weights", "epochs": arguments.epochs, "networks": len(rows),
        "donors": arguments.donors, "inherited_share": round(float(np.mean(shares)), 3),
        "accuracy": accuracy.mean(axis=1).round(3).tolist(),
        "accuracy_in_full": round(float(truth.mean()), 3),
        "tau": found[:, 0].round(3).tolist(), "fixed": found[:, 1].round(3).tolist(),
        "difference_95": [low.round(3).tolist(), high.round(3).tolist()],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
