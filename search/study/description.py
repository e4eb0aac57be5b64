"""What a run folder says of its images, its packages and its machine."""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.machine import cores, memory_bytes

if TYPE_CHECKING:
    from trainers import Dataset

MOST_LEFT_OUT = 100  # files whose names run.json keeps


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What run.json says of the images, by which `check_same_data` knows them again."""
    return {
        "name": dataset.name,
        "img_size": dataset.img_size,
        "in_chans": dataset.in_chans,
        "num_classes": dataset.num_classes,
        "class_names": list(dataset.class_names),
        "train": len(dataset.train_labels),
        "validation": len(dataset.val_labels),
        "test": len(dataset.test_labels),
        "skipped": len(dataset.skipped),
        **({"skipped_files": _left_out(dataset)} if dataset.skipped else {}),
        "fingerprint": dataset.fingerprint(),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "brightness": dataset.brightness(),
    }


def _left_out(dataset: Dataset) -> list[str]:
    """The first files that cannot be read, with the reasons."""
    shown = (f"{path}: {reason}" for path, reason in dataset.skipped[:MOST_LEFT_OUT])
    return [text.encode("utf-8", "replace").decode() for text in shown]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("vit-frontier", "torch", "timm", "optuna", "ray", "numpy", "fvcore"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "from a checkout" if name == "vit-frontier" else "not installed"
    return found


def hardware() -> dict[str, Any]:
    """This machine, as far as it is ours: cores, processor, memory and GPUs."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((ln.split(":", 1)[1].strip() for ln in lines if "model name" in ln), cpu)
    gpus: list[str] = []
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"cpus": cores(), "cpu": cpu, "gpus": gpus, "memory_bytes": memory_bytes()}
