"""The cases of `proxy_speed.py` that take a GPU; `--rehearse` runs them small on the CPU.

Every figure is a ratio within one run, the fastest of a few epochs or steps on either side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import timm
import timm.optim
import timm.utils
import torch
from timm.layers import set_fused_attn
from torch import Tensor, nn

from space import Architecture, build_model, count_flops, named
from space.model import Block
from trainers import Dataset, Recipe, proxy_epochs
from trainers.device.cuda_graph import Replayed
from trainers.proxy import ProxyTraining

# Dense bf16 of a whole GPU in TFLOP/s, two for a multiply-accumulate, by what torch calls it.
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "4090": 165}
H200_TFLOPS_A_CHANNEL = 100 / 64  # of width, where bandwidth bounds: 100 at 64, 300 at 192
MPS_CONTROL = "nvidia-cuda-mps-control"
SMALL = Architecture(
    img_size=32, patch_size=4, num_classes=10, embed_dim=192, depth=12, num_heads=3
)
BUSY_TRAININGS = 3
TINY = Architecture(img_size=32, patch_size=4, num_classes=10, embed_dim=64, depth=4, num_heads=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the cases run, and how much of each."""

    device: torch.device
    images: int = 25_600
    batch: int = 512
    large_batch: int = 256
    epochs: int = 4
    processes: tuple[int, ...] = (1, 2, 4, 8)

    @classmethod
    def rehearsal(cls) -> Machine:
        return cls(
            device=torch.device("cpu"), images=64, batch=16, large_batch=2, epochs=3, processes=(1,)
        )

    @property
    def peak(self) -> float | None:
        """TFLOP/s, None if it is not known."""
        if self.device.type != "cuda":
            return None
        name = torch.cuda.get_device_name(self.device)
        return next((peak for key, peak in PEAKS.items() if key in name), None)

    def roofline(self, architecture: Architecture) -> float | None:
        """TFLOP/s that the memory's bandwidth allows a network of that width, on an H200 alone."""
        if self.peak is None or "H200" not in torch.cuda.get_device_name(self.device):
            return None
        return min(self.peak, H200_TFLOPS_A_CHANNEL * architecture.embed_dim)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


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


def fastest(training: ProxyTraining) -> tuple[float, float]:
    """(images a second of the fastest epoch, seconds by which the first was slower than the second:
    warming up and, with CUDA graphs, capturing)."""
    epochs = list(training)
    set_up = epochs[0]["seconds"] - epochs[1]["seconds"]
    return max(epoch["images_per_second"] for epoch in epochs), set_up


def plain_step_rate(model: nn.Module, machine: Machine, *, img_size: int, batch: int) -> float:
    """Images a second of a plain eager step with what timm gives a training: its AdamW, autocast,
    its clipping; the images are on the device already."""
    cuda = machine.device.type == "cuda"
    model.to(machine.device).train()
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    images = torch.randn(batch, 3, img_size, img_size, device=machine.device)
    labels = torch.randint(10, (batch,), device=machine.device)
    seconds = list[float]()
    for _ in range(20 if cuda else 2):
        machine.wait()
        started = time.perf_counter()
        with torch.autocast(machine.device.type, torch.bfloat16, enabled=cuda):
            loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        timm.utils.dispatch_clip_grad(model.parameters(), 1.0)
        optimizer.step()
        machine.wait()
        seconds.append(time.perf_counter() - started)
    return batch / float(np.median(seconds))


def training(
    machine: Machine, architecture: Architecture, dataset: Dataset, *, batch: int, graphs: bool
) -> ProxyTraining:
    recipe = Recipe(epochs=machine.epochs, batch_size=batch, warmup_epochs=1.0)
    return proxy_epochs(architecture, dataset, recipe, seed=0, device=machine.device, graphs=graphs)


def training_cases(machine: Machine, timm_loop: Callable[..., float]) -> Iterator[dict[str, Any]]:
    """Graphed, eager and timm's loop at 32 px; graphed and timm's plain step at 224 px."""
    data = random_dataset(SMALL, machine.images)
    (graphed, with_capture), (eager, without) = (
        fastest(training(machine, SMALL, data, batch=machine.batch, graphs=graphs))
        for graphs in (True, False)
    )
    case = f"12 blocks, 192 wide, 32 px, batch {machine.batch}"
    yield row(machine, SMALL, f"{case}: graphs / our eager loop", graphed, eager)
    yield {
        "case": f"{case}: seconds the first epoch takes longer, graphs / eager",
        "ours": round(with_capture, 3), "theirs": round(without, 3),
        "ratio": round(with_capture / without, 2),
    }  # fmt: skip
    recipe = Recipe(epochs=2, batch_size=machine.batch, warmup_epochs=1.0)
    theirs = timm_loop(SMALL, data, recipe, machine.device)
    yield row(machine, SMALL, f"{case}: graphs / timm's loop", graphed, theirs)


def large_cases(machine: Machine) -> Iterator[dict[str, Any]]:
    """Graphed trainings at 224 px against plain steps: of timm's own DeiT-Ti, and of our HVT-S-1,
    which timm does not have."""
    for name, of_paper in (("DeiT-Ti", "deit_tiny"), ("HVT-S-1", "hvt_s_1")):
        architecture, batch = named(of_paper), machine.large_batch
        data = random_dataset(architecture, 4 * batch)
        graphed, _ = fastest(training(machine, architecture, data, batch=batch, graphs=True))
        theirs = (
            timm.create_model("deit_tiny_patch16_224", num_classes=architecture.num_classes)
            if of_paper == "deit_tiny"
            else build_model(architecture)
        )
        plain = plain_step_rate(theirs, machine, img_size=architecture.img_size, batch=batch)
        case = f"{name}, 224 px, batch {batch}: graphs / plain eager step"
        yield row(machine, architecture, case, graphed, plain)


def row(
    machine: Machine, architecture: Architecture, case: str, ours: float, theirs: float
) -> dict[str, Any]:
    # forward and twice that backward, two operations a multiply-accumulate
    teraflops = 6 * count_flops(architecture) * ours / 1e12
    bounds = {"share_of_peak": machine.peak, "share_of_roofline": machine.roofline(architecture)}
    shares = {name: round(teraflops / bound, 3) for name, bound in bounds.items() if bound}
    return {
        "case": case, "images_per_second": round(ours), "theirs": round(theirs),
        "ratio": round(ours / theirs, 2), "tflops": round(teraflops, 1), **shares,
    }  # fmt: skip


def reattention_cases(machine: Machine) -> Iterator[dict[str, Any]]:
    """Time and memory of a training step of one block with Re-attention, against a plain block
    with explicit and with fused maps."""
    cuda = machine.device.type == "cuda"
    for dim, heads, tokens in ((192, 3, 64), (384, 6, 196), (384, 12, 196)):
        figures = {}
        for kind in ("reattention", "explicit", "fused"):
            set_fused_attn(kind == "fused")
            side = round(tokens**0.5)
            architecture = Architecture(
                img_size=side, patch_size=1, num_classes=10, embed_dim=dim, depth=1,
                num_heads=heads, reattention=(0,) if kind == "reattention" else (),
            )  # fmt: skip
            torch.manual_seed(0)
            block: Any = build_model(architecture).blocks[0].to(machine.device)
            x = torch.randn(machine.large_batch, tokens, dim, device=machine.device)
            figures[kind] = block_step(block, x.requires_grad_(), machine)
        set_fused_attn(True)
        seconds, memory = figures["reattention"]
        for kind in ("explicit", "fused"):
            yield {
                "case": f"Re-attention / {kind} maps, {heads} heads, {tokens} tokens, {dim} wide",
                "milliseconds": round(1e3 * seconds, 3),
                "theirs": round(1e3 * figures[kind][0], 3),
                "ratio": round(seconds / figures[kind][0], 2),
                "memory_ratio": round(memory / figures[kind][1], 2) if cuda else None,
            }


def block_step(block: Block, x: Tensor, machine: Machine) -> tuple[float, int]:
    """(seconds, bytes beside the block and its input at the peak) of forward and backward, the
    median of a few; replayed from a CUDA graph, as a training is, so that launches do not count."""
    cuda = machine.device.type == "cuda"

    def step() -> None:
        with torch.autocast(machine.device.type, torch.bfloat16, enabled=cuda):
            loss = block(x).float().square().mean()
        torch.autograd.backward(loss)
        block.zero_grad(set_to_none=True)
        x.grad = None

    step()
    peak = 0
    if cuda:
        gc.collect()
        there = torch.cuda.memory_allocated(machine.device)
        torch.cuda.reset_peak_memory_stats(machine.device)
        step()
        peak = torch.cuda.max_memory_allocated(machine.device) - there
    replayed, seconds = Replayed(step, enabled=cuda, warm_up=3), list[float]()
    for _ in range(30 if cuda else 2):
        machine.wait()
        started = time.perf_counter()
        replayed()
        machine.wait()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)), peak


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


def mps_cases(machine: Machine) -> Iterator[dict[str, Any]]:
    """`shared_gpu_cases` with MPS, against one process that has it too."""
    with multi_process_service():
        for case in shared_gpu_cases(machine):
            yield case | {"case": f"MPS, {case['case']}"}


def shared_gpu_cases(machine: Machine) -> Iterator[dict[str, Any]]:
    """Trainings an hour of several processes on one device, against one process."""
    context = multiprocessing.get_context("spawn")
    for name, architecture in (("4 blocks, 64 wide", TINY), ("12 blocks, 192 wide", SMALL)):
        rates: dict[int, float] = {}
        for count in machine.processes:
            ready, begin = context.Barrier(count + 1), context.Queue()
            gc.collect()
            if machine.device.type == "cuda":
                torch.cuda.empty_cache()
            workers = [
                context.Process(target=train_again, args=(machine, architecture, ready, begin))
                for _ in range(count)
            ]
            for worker in workers:
                worker.start()
            ready.wait(timeout=300)
            ready.wait(timeout=300)
            done = [begin.get(timeout=60) for _ in workers]
            for worker in workers:
                worker.join(timeout=60)
            rates[count] = sum(done)
            yield {
                "case": f"{count} processes, {name}: trainings an hour / one process",
                "trainings_an_hour": round(3600 * rates[count], 1),
                "theirs": round(3600 * rates[machine.processes[0]], 1),
                "ratio": round(rates[count] / rates[machine.processes[0]], 2),
            }


def train_again(machine: Machine, architecture: Architecture, ready: Any, told: Any) -> None:
    """Trains once to warm up, then again beside the others; tells trainings a second."""
    torch.set_num_threads(1)
    data = random_dataset(architecture, machine.images)
    for _ in training(machine, architecture, data, batch=machine.batch, graphs=True):
        pass
    ready.wait(timeout=300)
    started = time.perf_counter()
    for _ in training(machine, architecture, data, batch=machine.batch, graphs=True):
        pass
    told.put(1 / (time.perf_counter() - started))
    ready.wait(timeout=300)


def precision_case(machine: Machine) -> dict[str, Any]:
    """A short training with Re-attention in bf16 against float32, graphed."""
    architecture = dataclasses.replace(TINY, reattention=(1, 2, 3))
    data = random_dataset(architecture, machine.images // 4, signal=0.1)
    epochs = {}
    for amp in ("auto", "off"):
        recipe = Recipe(epochs=2 * machine.epochs, batch_size=machine.batch // 4, amp=amp)
        epochs[amp] = list(
            proxy_epochs(architecture, data, recipe, seed=0, device=machine.device, graphs=True)
        )
    ours, theirs = ([epoch["train_loss"] for epoch in epochs[amp]] for amp in ("auto", "off"))
    return {
        "case": "Re-attention, training loss of the last epoch: bf16 / float32",
        "ours": round(ours[-1], 4),
        "theirs": round(theirs[-1], 4),
        "ratio": round(ours[-1] / theirs[-1], 4),
        "first_loss": round(theirs[0], 4),
        "largest_difference": round(float(np.abs(np.subtract(ours, theirs)).max()), 4),
        "accuracy": [round(epochs[amp][-1]["accuracy"], 4) for amp in ("auto", "off")],
    }


def busy_case(machine: Machine) -> dict[str, Any]:
    """Share of the wall time that kernels run, over trainings one after another: building the
    networks, capturing, training and validating."""
    data = random_dataset(SMALL, machine.images)
    next(training(machine, SMALL, data, batch=machine.batch, graphs=True))
    activity = torch.profiler.ProfilerActivity
    cuda = machine.device.type == "cuda"
    with torch.profiler.profile(activities=[activity.CUDA if cuda else activity.CPU]) as profile:
        machine.wait()
        started = time.perf_counter()
        for _ in range(BUSY_TRAININGS):
            for _ in training(machine, SMALL, data, batch=machine.batch, graphs=True):
                pass
        machine.wait()
        seconds = time.perf_counter() - started
    kernels = [e for e in profile.events() if "CUDA" in str(e.device_type)]
    busy = sum(e.device_time_total for e in kernels) / 1e6
    return {
        "case": f"GPU busy / wall time of {BUSY_TRAININGS} trainings, 12 blocks, 192 wide",
        "ours": round(busy, 4), "theirs": round(seconds, 4), "ratio": round(busy / seconds, 3),
    }  # fmt: skip


def cases(machine: Machine, timm_loop: Callable[..., float]) -> Iterator[dict[str, Any]]:
    """All of them, each as a dict with `case` and `ratio`; one that fails has `error` instead."""
    for name, part in (
        ("training", lambda: training_cases(machine, timm_loop)),
        ("training at 224 px", lambda: large_cases(machine)),
        ("Re-attention", lambda: reattention_cases(machine)),
        ("precision", lambda: [precision_case(machine)]),
        ("busy", lambda: [busy_case(machine)]),
        ("several processes", lambda: shared_gpu_cases(machine)),
        ("several processes with MPS", lambda: mps_cases(machine)),
    ):
        try:
            yield from part()
        except Exception as error:
            yield {"case": name, "ratio": math.nan, "error": f"{type(error).__name__}: {error}"}
