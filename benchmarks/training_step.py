"""How long a training step takes beside another checkout's; `proxy_speed.py --root` runs it.

Each checkout has a process, which trains one epoch of a few steps whenever it is told to. They take
turns, so that what else runs on the machine slows both alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
STEPS, BATCH = 5, 64  # of a turn
TURNS = 1000  # at most: the epochs that the recipe is told
DIGITS = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 64,
          "depth": 3, "num_heads": 4, "mlp_ratio": 2}  # fmt: skip
PHOTOGRAPHS = {"img_size": 32, "patch_size": 4, "num_classes": 10, "embed_dim": 64, "depth": 4,
               "num_heads": 4}  # fmt: skip
POOL = {"after": 1, "kernel_size": 2, "stride": 2, "op": "max"}
NETWORKS: dict[str, dict[str, Any]] = {
    "digits": DIGITS,
    "digits, Re-attention": {**DIGITS, "reattention": [0, 1, 2]},
    "digits, class token and pool": {**DIGITS, "head": "token", "pools": [POOL]},
    "photographs": PHOTOGRAPHS,
    "photographs, Re-attention": {**PHOTOGRAPHS, "reattention": [0, 1, 2, 3]},
    "photographs, class token and pool": {**PHOTOGRAPHS, "head": "token", "pools": [POOL]},
}


def serve(root: Path) -> None:
    """Trains a turn of the network that a line of stdin names, and prints the seconds of a step."""
    sys.path.insert(0, str(root))
    import torch

    torch.set_num_threads(1)
    trainings: dict[str, Any] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in trainings:
            trainings[name] = _training(NETWORKS[name])
        print(BATCH / next(trainings[name])["images_per_second"], flush=True)


def _training(architecture: dict[str, Any]) -> Any:
    """A training on noise, by the checkout that is imported first."""
    import numpy as np
    import torch

    from space import Architecture
    from trainers import Dataset, Recipe
    from trainers.proxy import ProxyTraining

    network = Architecture.from_dict(architecture)
    side, chans = network.img_size, network.in_chans
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", STEPS * BATCH), ("val", 16), ("test", 16)):
        shape = (count, chans, side, side)
        parts[f"{part}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        parts[f"{part}_labels"] = np.arange(count) % 10
    data = Dataset(
        name="noise", **parts, class_names=tuple("0123456789"), mean=(0.5,) * chans,
        std=(0.3,) * chans, augmentation="none" if chans == 1 else "crop_flip",
    )  # fmt: skip
    recipe = Recipe(epochs=TURNS, batch_size=BATCH)
    return ProxyTraining(network, data, recipe, seed=0, device=torch.device("cpu"))


def beside(root: Path, turns: int) -> list[dict[str, Any]]:
    """Every network's milliseconds a step here and at `root`, and the median ratio of its turns."""
    both = [_start(checkout) for checkout in (HERE.parent.parent, root)]
    rows = []
    for name in NETWORKS:
        for process in both:
            _turn(process, name)  # the first is of another speed
        pairs = []
        for number in range(turns):  # who is first alternates too
            order = both if number % 2 else both[::-1]
            seconds = {process.pid: _turn(process, name) for process in order}
            pairs.append([seconds[process.pid] for process in both])
        rows.append({"case": name, **_compared(pairs)})
        print(f"{rows[-1]['ratio']:7.3f}  {name}  {rows[-1]}", flush=True)
    for process in both:
        process.communicate()
    return rows


def _compared(pairs: list[list[float]]) -> dict[str, Any]:
    ours, theirs = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(here / there for here, there in pairs)
    quarter = len(ratios) // 4
    return {
        "ours_ms": round(ours, 2),
        "theirs_ms": round(theirs, 2),
        "ratio": round(statistics.median(ratios), 3),
        "middle_half": [round(ratios[quarter], 3), round(ratios[-1 - quarter], 3)],
    }


def _start(root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(HERE), str(root)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _turn(process: subprocess.Popen[str], name: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
