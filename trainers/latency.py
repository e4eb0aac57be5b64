"""How long a network takes on a device: latency at batch 1, throughput, peak memory."""

from __future__ import annotations

import platform
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer

from space import Architecture, build_model

WARM_UP = 3  # forward passes before any is timed; a compiled network is compiled in the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One network on one device. `seconds`: median of a forward pass of one image, between `low`
    and `high` with 95 %; `images_per_second` at `batch_size`; `peak_bytes`: most that a pass of
    that batch holds beside weights and images."""

    device: str
    threads: int
    compiled: bool
    batch_size: int
    seconds: float
    low: float
    high: float
    runs: int
    images_per_second: float
    peak_bytes: int


def devices() -> list[str]:
    """Those of this machine, as torch names them."""
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


def device_name(device: str) -> str:
    """What the device is called: the processor's or the GPU's name."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = (line.split(":", 1)[1].strip() for line in lines if "model name" in line)
        return next(names, platform.machine())


def measure_latency(
    architecture: Architecture,
    device: str = "cpu",
    *,
    batch_size: int = 64,
    compiled: bool = False,
    seconds: float = 1.0,
) -> Latency:
    """Times a network of random weights in eval mode, float32, for `seconds` each at batch 1 and at
    `batch_size`, after a warm-up."""
    model: Any = build_model(architecture).eval().to(device)
    called = torch.compile(model) if compiled else model
    one, many = (_images(architecture, count, device) for count in (1, batch_size))
    times = _times(called, one, seconds)
    low, high = _interval(times)
    batch = float(np.median(_times(called, many, seconds)))
    return Latency(
        device=device,
        threads=torch.get_num_threads(),
        compiled=compiled,
        batch_size=batch_size,
        seconds=float(np.median(times)),
        low=low,
        high=high,
        runs=len(times),
        images_per_second=batch_size / batch,
        peak_bytes=_peak_bytes(model, many),
    )


def measure_all(
    architectures: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """`measure_latency` of all on every device of this machine, as plain rows: `network` is the
    place in the list, `name` that of the device."""
    from dataclasses import asdict

    rows = []
    for device in devices():
        for place, values in enumerate(architectures):
            found = measure_latency(Architecture.from_dict(values), device, **options)
            rows.append({"network": place, "name": device_name(device), **asdict(found)})
    return rows


def _images(architecture: Architecture, count: int, device: str) -> torch.Tensor:
    size = architecture.img_size
    return torch.zeros(count, architecture.in_chans, size, size, device=device)


@torch.inference_mode()
def _times(model: Any, images: torch.Tensor, seconds: float) -> list[float]:
    """Seconds of a pass, of each block of passes that was timed."""
    for _ in range(WARM_UP):
        model(images)
    timer = Timer(
        "model(images)",
        globals={"model": model, "images": images},
        num_threads=torch.get_num_threads(),
    )
    return list(timer.blocked_autorange(min_run_time=seconds).times)


def _interval(times: list[float]) -> tuple[float, float]:
    """The interval of the median, 95 %, by drawing the times again."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(times, (1000, len(times))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


@torch.inference_mode()
def _peak_bytes(model: Any, images: torch.Tensor) -> int:
    """The most that one pass holds at once, beside what was there before."""
    if images.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(images.device)
        before = torch.cuda.memory_allocated(images.device)
        model(images)
        return torch.cuda.max_memory_allocated(images.device) - before
    held = _Held([*model.parameters(), *model.buffers(), images])
    with held:
        model(images)
    return held.peak


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that operators made and that still live; `peak`: the most."""

    def __init__(self, before: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage().data_ptr() for tensor in before}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._hold(tensor.untyped_storage())
        return made

    def _hold(self, storage: Any) -> None:
        key = storage.data_ptr()
        if key not in self._known:  # else a view of what is known
            self._known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count
