"""What fails within a capture, in a process of its own each, and whether the process survives."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import torch
from cases import DEVICE, REHEARSE, SMALL, TINY, random_dataset, say

from trainers import CaptureError, Recipe, proxy_epochs
from trainers.device.cuda_graph import Replayed

SESSION = Path(__file__).parent / "session.py"


def faults() -> None:
    for name in ("memory", "capture", "fraction"):
        done = subprocess.run(
            [sys.executable, str(SESSION), f"fault-{name}", *sys.argv[2:]],
            capture_output=True, text=True, timeout=900 if REHEARSE else 90, check=False,
        )  # fmt: skip
        print((done.stdout + done.stderr)[-1200:], flush=True)
        if done.returncode:
            say("faults", name, error=f"exit code {done.returncode}")


def outcome(work: Callable[[], object]) -> str:
    """What it gave, or the error."""
    try:
        return f"complete ({work()})"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]}"


def trained(architecture: object, data: object, recipe: Recipe, *, parts: int = 1) -> float:
    training = proxy_epochs(
        architecture, data, recipe, seed=0, device=DEVICE, graphs=True, parts=parts  # type: ignore[arg-type]
    )  # fmt: skip
    return round([epoch["accuracy"] for epoch in training][-1], 3)


def fault_memory() -> None:
    """Memory runs out in warm-up or capture; then half batches; then another network."""
    cuda = DEVICE.type == "cuda"
    data = random_dataset(SMALL, 64 if REHEARSE else 4096)
    recipe = Recipe(epochs=2, batch_size=16 if REHEARSE else 512)
    dropping = dataclasses.replace(recipe, drop_path_rate=0.1)
    needed = total = 1
    if cuda:
        trained(SMALL, data, recipe)
        needed = torch.cuda.max_memory_reserved()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
    for share in (0.8,) if REHEARSE else (1.5, 0.95, 0.8, 0.6):
        if cuda:
            torch.cuda.set_per_process_memory_fraction(share * needed / total)
        states = [
            outcome(lambda parts=parts: trained(SMALL, data, recipe, parts=parts))  # type: ignore[misc]
            for parts in (1, 2)
        ]
        if cuda:
            torch.cuda.set_per_process_memory_fraction(1.0)
        after = outcome(lambda: trained(TINY, data, dropping))
        say("faults", f"{share} of the memory: whole, half batches", states=states, after=after)


def fault_capture() -> None:
    """A step that cannot be captured: what the process can still do, which is why it must end."""
    if DEVICE.type != "cuda":
        return
    total = torch.zeros((), device=DEVICE)

    def step() -> float:
        total.add_(1)
        return total.item()

    replayed = Replayed(step, enabled=True, warm_up=1)
    replayed()
    try:
        said = f"no error: {replayed()}"
    except CaptureError as error:
        said = str(error)
    data, recipe = random_dataset(TINY, 1024), Recipe(epochs=2, drop_path_rate=0.1)
    own = torch.Generator(DEVICE).manual_seed(0)
    works: dict[str, Callable[[], object]] = {
        "default generator": lambda: torch.randn(4, device=DEVICE).sum().item(),
        "own generator": lambda: torch.randn(4, device=DEVICE, generator=own).sum().item(),
        "another training": lambda: trained(TINY, data, recipe),
        "emptied cache": torch.cuda.empty_cache,
    }
    after = {name: outcome(work) for name, work in works.items()}
    say("faults", "a step that waits for the device", said=said, **after)


def fault_fraction() -> None:
    """`keep_to_share_of_gpu` without Ray: the worker's module with a stand-in for `ray.tune`."""
    try:
        import ray  # noqa: F401
    except ImportError:
        ray_module, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
        tune.Trainable, ray_module.tune = object, tune  # type: ignore[attr-defined]
        sys.modules.update({"ray": ray_module, "ray.tune": tune})
    from search.cluster.worker import keep_to_share_of_gpu, memory_fraction

    if DEVICE.type != "cuda":
        return
    total = torch.cuda.get_device_properties(0).total_memory
    keep_to_share_of_gpu(0.125)
    asked = outcome(lambda: torch.empty(int(0.13 * total), dtype=torch.uint8, device=DEVICE).shape)
    free, _ = torch.cuda.mem_get_info()
    say(
        "faults", "an eighth of the GPU", asked=asked, fraction=memory_fraction(0.125, total),
        context_mib=(total - free - torch.cuda.memory_reserved()) >> 20,
    )  # fmt: skip
