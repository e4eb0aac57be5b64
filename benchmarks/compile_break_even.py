"""After how many steps has `torch.compile` paid for itself, for one network?

    python benchmarks/compile_break_even.py [--threads 2]

Forward, loss and backward of a batch, as they are and compiled (Inductor, fixed shapes, no cache
from before), in one process by turns; on the GPU under bf16 autocast if there is one. Every trial
is another network, so `compile_seconds` are paid by each; `steps_of_a_training` says how many a
proxy training of that network has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from space import Architecture, build_model, count_flops

DIGITS = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "num_heads": 4}
CIFAR = {"img_size": 32, "patch_size": 4, "num_classes": 10, "num_heads": 4}
# (name, network, batch, steps of a training: digits 1,150 images x 30 epochs, CIFAR-10 of 2,000
# images x 10 epochs)
CASES = (
    ("digits", Architecture(**DIGITS, embed_dim=64, depth=3, mlp_ratio=2), 64, 540),
    (
        "digits, Re-attention in all blocks",
        Architecture(**DIGITS, embed_dim=64, depth=3, mlp_ratio=2, reattention=(0, 1, 2)),
        64,
        540,
    ),
    ("photographs", Architecture(**CIFAR, embed_dim=64, depth=4), 32, 620),
)
ROUNDS, STEPS = 7, 10


def trainer(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """One step without the optimizer."""

    def step() -> None:
        model.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


def seconds(step: Callable[[], None], steps: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - began


def measure(architecture: Architecture, batch: int, device: str) -> dict[str, float]:
    """Seconds of a step as it is and compiled, and those of compiling."""
    torch.manual_seed(0)
    model = build_model(architecture).to(device).train()
    size = architecture.img_size
    images = torch.rand(batch, architecture.in_chans, size, size, device=device)
    labels = torch.randint(architecture.num_classes, (batch,), device=device)
    plain = trainer(model, images, labels)
    compiled = trainer(torch.compile(model, dynamic=False), images, labels)  # type: ignore[arg-type]
    seconds(plain, STEPS)
    compiling = seconds(compiled)
    seconds(compiled, STEPS)
    turns = [(seconds(plain, STEPS), seconds(compiled, STEPS)) for _ in range(ROUNDS)]
    eager, fast = (statistics.median(column) / STEPS for column in zip(*turns, strict=True))
    return {"compile_seconds": compiling, "plain_ms": eager * 1e3, "compiled_ms": fast * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = []
    for name, architecture, batch, steps in CASES:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
            torch.compiler.reset()
            row = measure(architecture, batch, device)
        gain = (row["plain_ms"] - row["compiled_ms"]) / 1e3
        found.append(
            {"case": name, "mflops": round(count_flops(architecture) / 1e6, 2)}
            | {key: round(value, 2) for key, value in row.items()}
            | {
                "ratio": round(row["plain_ms"] / row["compiled_ms"], 2),
                "break_even_steps": round(row["compile_seconds"] / gain) if gain > 0 else None,
                "steps_of_a_training": steps,
            }
        )
        print(found[-1], flush=True)
    print(
        json.dumps(
            {
                "benchmark": "compile_break_even",
                "device": device,
                "threads": arguments.threads,
                "torch": torch.__version__,
                "cases": found,
            }
        )
    )


if __name__ == "__main__":
    main()
