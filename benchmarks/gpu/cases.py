"""What the parts of `session.py` share: where they run, how a figure is told, what is timed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from space import Architecture  # noqa: E402
from trainers import Dataset, ProxyTraining  # noqa: E402

REHEARSE = "--rehearse" in sys.argv or not torch.cuda.is_available()
DEVICE = torch.device("cpu" if REHEARSE else "cuda:0")
OUT = Path(os.environ.get("OUT", tempfile.gettempdir()))
SMALL = Architecture(
    img_size=32, patch_size=4, num_classes=10, embed_dim=192, depth=12, num_heads=3
)
TINY = Architecture(img_size=32, patch_size=4, num_classes=10, embed_dim=64, depth=4, num_heads=4)
if REHEARSE:
    SMALL = SMALL.replace(depth=2, embed_dim=48)


def say(part: str, case: str, **figures: Any) -> None:
    """One line of JSON in $OUT/gpu.jsonl, and the same for people."""
    row = {"part": part, "case": case, **figures}
    with (OUT / "gpu.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, default=str) + "\n")
    told = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
    print(f"[{part}] {case}: {', '.join(told)}", flush=True)


@contextlib.contextmanager
def case(part: str, name: str) -> Iterator[None]:
    """What breaks inside is a line with `error`, not the end of the session."""
    try:
        yield
    except Exception as error:
        print(traceback.format_exc()[-1500:], flush=True)
        say(part, name, error=f"{type(error).__name__}: {error}"[:300])


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def milliseconds(step: Callable[[], Any], *, count: int, groups: int = 5) -> float:
    """The median of a call, over groups of `count` calls without a wait in between."""
    count, groups = (1, 1) if REHEARSE else (count, groups)
    for _ in range(2 if REHEARSE else 5):  # warm-up and, with graphs, the capture
        step()
    times = []
    for _ in range(groups):
        wait()
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        times.append(1e3 * (time.perf_counter() - started) / count)
    return float(np.median(times))


def random_dataset(architecture: Architecture, images: int, *, signal: float = 0.0) -> Dataset:
    """Noise in `images` images to train on and a fifth of that to validate; the share `signal` of
    each is a pattern of its class."""
    a, rng = architecture, np.random.default_rng(0)
    shape = (a.in_chans, a.img_size, a.img_size)
    patterns = rng.integers(0, 256, (a.num_classes, *shape), dtype=np.uint8)

    def split(count: int) -> tuple[Any, Any]:
        pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        labels = rng.integers(0, a.num_classes, count, dtype=np.int64)
        if signal:
            mixed = signal * patterns[labels] + (1.0 - signal) * pixels
            pixels = mixed.astype(np.uint8)
        return pixels, labels

    (train, train_labels), (val, val_labels) = split(images), split(max(images // 5, 2))
    return Dataset(
        name="noise", train_images=train, train_labels=train_labels, val_images=val,
        val_labels=val_labels, test_images=val, test_labels=val_labels,
        class_names=tuple(map(str, range(a.num_classes))), mean=(0.5,) * a.in_chans,
        std=(0.25,) * a.in_chans, augmentation="crop_flip",
    )  # fmt: skip


def curve(training: ProxyTraining) -> NDArray[np.float64]:
    """(epochs, 3): training loss, validation loss, accuracy."""
    return np.array([[e["train_loss"], e["val_loss"], e["accuracy"]] for e in training])
