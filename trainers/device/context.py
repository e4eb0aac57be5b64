"""What a training changes for the whole process, and puts back."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch


@contextlib.contextmanager
def on_device(device: torch.device) -> Generator[None]:
    """Inside, a GPU is the current one and multiplies float32 as TF32; then all is as before."""
    if device.type != "cuda":
        yield
        return
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.cuda.device(device):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Generator[None]:
    """The global generators seeded inside, and as they were outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
