"""A GPU's answers: is the CUDA path right, how fast is it, what does a trial cost?

    python benchmarks/gpu/session.py PART [--rehearse]

PART: probe, correct, faults, speed, timm, packing or recipe; `session.sh` runs all. `--rehearse`
runs a tiny one on the CPU. Needs torch, timm, NumPy, scikit-learn, Pillow, safetensors and this
checkout; no Ray, Optuna, fvcore. Every figure is a line of JSON in $OUT/gpu.jsonl as it comes, and
printed; a case that breaks is a line with `error`.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec

import correct
import faults
import speed
import timm
import torch
import trials
from cases import DEVICE, OUT, REHEARSE, milliseconds, say

USED = ("ray", "optuna", "fvcore", "sqlalchemy", "altair", "sklearn", "pytest", "typer", "rich")


def probe() -> None:
    missing = [name for name in USED if find_spec(name) is None]
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    say("probe", "versions", **versions, timm=timm.__version__, missing=missing)
    if REHEARSE:
        return
    say(
        "probe", "GPU", name=torch.cuda.get_device_name(), cuda=torch.version.cuda,
        bf16=torch.cuda.is_bf16_supported(including_emulation=False),
        cpus=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    a = torch.empty(2**30, device=DEVICE).normal_()
    b = torch.empty_like(a)
    ms = milliseconds(lambda: b.copy_(a), count=10)
    say("probe", "copy", tb_per_second=2 * a.numel() * 4 / ms / 1e9)
    x = torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)
    say("probe", "matmul bf16", tflops=2 * 8192**3 / milliseconds(lambda: x @ x, count=10) / 1e9)


PARTS = {
    "probe": probe, "correct": correct.correct, "faults": faults.faults,
    "fault-memory": faults.fault_memory, "fault-capture": faults.fault_capture,
    "fault-fraction": faults.fault_fraction, "speed": speed.speed, "timm": speed.loop,
    "worker": trials.worker, "packing": trials.packing, "recipe": trials.recipe,
}  # fmt: skip

if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    PARTS[sys.argv[1]]()
    if sys.argv[1] != "worker":
        print(f"[{sys.argv[1]}] took {time.perf_counter() - started:.1f} s", flush=True)
