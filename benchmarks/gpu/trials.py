"""What trials cost: several processes on one GPU, and whether the recipe holds at its batches."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import DEVICE, REHEARSE, SMALL, TINY, case, random_dataset, say

from space import Architecture, SearchSpace, count_flops
from trainers import Dataset, Recipe, load_dataset, proxy_epochs

SESSION = Path(__file__).parent / "session.py"
WORKER_SECONDS, READY_SECONDS, EPOCHS = (1, 600, 5) if REHEARSE else (8, 90, 5)
MPS_CONTROL = "nvidia-cuda-mps-control"


def packing() -> None:
    """Trials a minute of 1 to 8 processes, without and with NVIDIA's MPS."""
    one = 1e-9
    for count in (1, 2) if REHEARSE else (1, 2, 4, 8):
        with case("packing", f"{count} processes"):
            row = packed(count)
            one = max(one, row["trials_a_minute"] if count == 1 else 0.0)
            say("packing", f"{count} processes", **row, ratio=row["trials_a_minute"] / one)
    for count in () if REHEARSE else (4, 8):
        with case("packing", f"MPS, {count} processes"), multi_process_service():
            row = packed(count)
            say("packing", f"MPS, {count} processes", **row, ratio=row["trials_a_minute"] / one)


def packed(count: int) -> dict[str, Any]:
    """Trials of `EPOCHS` epochs a minute, of so many processes side by side. Raises RuntimeError if
    one ends before it is ready, TimeoutError if one never is."""
    rest = ["--rehearse"] if REHEARSE else []
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder) / "go"
        workers = [
            subprocess.Popen(
                [sys.executable, str(SESSION), "worker", str(go), str(i), *rest],
                stdout=subprocess.PIPE, text=True,
            )
            for i in range(count)
        ]  # fmt: skip
        try:
            await_ready(workers, go)
            go.touch()
            told = [w.communicate(timeout=WORKER_SECONDS + READY_SECONDS)[0] for w in workers]
        finally:
            for worker in workers:
                worker.kill()
    rows = [json.loads(text.strip().splitlines()[-1]) for text in told]
    failed = [reason for row in rows for reason in row["failed"]]
    epochs = sum(row["epochs"] for row in rows)
    rate = 60 * epochs / EPOCHS / WORKER_SECONDS
    return {"trials_a_minute": rate, "failures": len(failed), "failed": failed[:2]}


def await_ready(workers: list[subprocess.Popen[str]], go: Path) -> None:
    """Waits for a file of each worker beside `go`."""
    limit = time.perf_counter() + READY_SECONDS
    waiting = set(range(len(workers)))
    while waiting:
        waiting -= {i for i in waiting if go.with_name(f"ready-{i}").exists()}
        dead = [i for i in waiting if workers[i].poll() is not None]
        if dead:
            raise RuntimeError(f"worker {dead[0]} ended with {workers[dead[0]].returncode}")
        if time.perf_counter() > limit:
            raise TimeoutError(f"workers {sorted(waiting)} were not ready")
        time.sleep(0.01)


def worker() -> None:
    """Trains random networks of the space `cifar` one after another, and counts, once told to."""
    go, number = Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    rng = np.random.default_rng(number)
    data = random_dataset(TINY, 64 if REHEARSE else 20_480)
    recipe = Recipe(
        epochs=EPOCHS, batch_size=16 if REHEARSE else 256, warmup_epochs=1.0, learning_rate=1e-3
    )
    coming = networks(rng, 2_000_000 if REHEARSE else 30_000_000)
    for _ in proxy_epochs(
        next(coming), data, dataclasses.replace(recipe, epochs=2), seed=0, device=DEVICE,
        graphs=True,
    ):  # fmt: skip
        pass
    go.with_name(f"ready-{number}").touch()
    while not go.exists():
        time.sleep(0.005)
    ends, epochs, failed = time.perf_counter() + WORKER_SECONDS, 0, list[str]()
    for seed, network in enumerate(coming):
        try:
            for _ in proxy_epochs(network, data, recipe, seed=seed, device=DEVICE, graphs=True):
                epochs += 1
                if time.perf_counter() > ends:
                    break
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}"[:120])
        if time.perf_counter() > ends:
            break
    print(json.dumps({"epochs": epochs, "failed": failed}), flush=True)


def networks(rng: np.random.Generator, budget: int) -> Iterator[Architecture]:
    space = SearchSpace.load("cifar").fit(img_size=32, in_chans=3, num_classes=10)
    while True:
        architecture = space.sample(rng)
        if count_flops(architecture) <= budget:
            yield architecture


@contextlib.contextmanager
def multi_process_service() -> Iterator[None]:
    """NVIDIA's MPS for the processes that are started inside, with sockets of its own. Raises
    OSError or subprocess.CalledProcessError where it does not start."""
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            subprocess.run([MPS_CONTROL, "-d"], check=True, timeout=60)
            try:
                yield
            finally:
                subprocess.run([MPS_CONTROL], input="quit\n", text=True, check=True, timeout=60)
        finally:
            for name in names:
                del os.environ[name]


def photographs() -> Dataset:
    """CIFAR-10 of $CIFAR (a folder `<class>/*` of training images), or made-up images."""
    folder = os.environ.get("CIFAR")
    if folder is None:
        say("recipe", "CIFAR-10", error="no $CIFAR: images are noise with a pattern a class")
        return random_dataset(TINY, 64 if REHEARSE else 45_000, signal=0.1)
    few = {"train_samples": 512, "val_samples": 128} if REHEARSE else {}
    return load_dataset(folder, img_size=32, cache_dir=tempfile.gettempdir(), **few)


def recipe() -> None:
    """Learning rates beside the recipe's own for large networks at a GPU's batches; Muon."""
    data = photographs()
    deep = SMALL.replace(patch_size=8, depth=24)
    networks: dict[str, tuple[Architecture, tuple[float, ...]]] = {
        "4x64": (TINY, (1, 2)),
        "12x192": (SMALL, (0.25, 0.5, 1, 2)),
        "24x192 patch 8": (deep, (0.25, 0.5, 1)),
        "24x192 patch 8, Re-attention": (
            deep.replace(reattention=tuple(range(24))), (0.25, 0.5, 1),
        ),
    }  # fmt: skip
    if REHEARSE:
        networks = {"1x32": (TINY.replace(depth=1, embed_dim=32, num_heads=2), (1,))}
    base = Recipe.for_dataset(data, epochs=1 if REHEARSE else 4)
    jobs = [
        (f"{name}, AdamW x {factor}", network,
         dataclasses.replace(base, learning_rate=base.learning_rate * factor))
        for name, (network, factors) in networks.items() for factor in factors
    ] + [
        (f"{name}, Muon {rate}", network,
         dataclasses.replace(base, optimizer="muon", matrix_rate=rate))
        for name, (network, _) in networks.items() for rate in (0.02, 0.05)
    ]  # fmt: skip
    for name, network, asked in jobs:
        with case("recipe", name):
            started = time.perf_counter()
            training = proxy_epochs(network, data, asked, seed=0, device=DEVICE, graphs=True)
            epochs = list(training)
            say(
                "recipe", f"{name}, batch {base.batch_size}", rate=training.recipe.learning_rate,
                accuracy=[round(e["accuracy"], 4) for e in epochs],
                loss=[round(e["train_loss"], 3) for e in epochs],
                images_per_second=max(e["images_per_second"] for e in epochs),
                seconds=time.perf_counter() - started,
            )  # fmt: skip
