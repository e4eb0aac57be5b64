"""Is the CUDA path right? Graphs against eager steps, bf16 against float32, memory afterwards."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import cases
import numpy as np
import torch
from cases import DEVICE, REHEARSE, case, random_dataset, say

from space import Architecture, Pool, build_model
from trainers import Recipe, proxy_epochs

BASE = Architecture(img_size=32, patch_size=4, num_classes=10, embed_dim=64, depth=4, num_heads=4)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Re-attention": {"reattention": (0, 1, 2, 3)},
    "Re-attention, scaled maps, residual scale": {
        "reattention": (1, 3), "reattention_scale": True, "residual_scale": 2.0,
    },
    "pools and class token": {
        "pools": (Pool(after=0), Pool(after=2, op="avg", kernel_size=2)), "head": "token",
    },
    "convolutional stem": {"stem": "conv"},
}  # fmt: skip


def correct() -> None:
    torch.backends.cudnn.deterministic = True
    for name, changes in KINDS.items():
        for amp in ("auto", "off"):
            with case("correct", f"{name}, amp {amp}"):
                graphs_against_eager(f"{name}, amp {amp}", BASE.replace(**changes), amp)
    with case("correct", "Re-attention against float64"):
        reattention_against_float64()
    with case("correct", "bf16 / float32 training"):
        precision()
    with case("correct", "memory after trainings one after another"):
        memory()


def graphs_against_eager(name: str, architecture: Architecture, amp: Any) -> None:
    data = random_dataset(BASE, 64 if REHEARSE else 2048, signal=0.2)
    recipe = Recipe(
        epochs=2 if REHEARSE else 4, batch_size=16 if REHEARSE else 128, warmup_epochs=1.0, amp=amp,
        drop_path_rate=0.1,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        eager, graphed = (
            proxy_epochs(architecture, data, recipe, seed=0, device=DEVICE, graphs=graphs)
            for graphs in (False, True)
        )
        theirs, ours = cases.curve(eager), cases.curve(graphed)
    parts = (graphed._step, graphed._average, graphed._validate)
    off = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-6)
    say(
        "correct", f"graphs = eager: {name}", captured=[p._graph is not None for p in parts],
        bitwise=bool((ours == theirs).all()), largest_relative=float(off.max()),
        last_loss=float(ours[-1, 0]), accuracy=float(ours[-1, 2]),
        said=sorted({str(w.message)[:120] for w in said}),
    )  # fmt: skip


def reattention_against_float64() -> None:
    """One block: output and gradients against float64 on the CPU, near uniform maps."""
    architecture = Architecture(
        img_size=14, patch_size=1, num_classes=10, embed_dim=192, depth=1, num_heads=6,
        reattention=(0,),
    )  # fmt: skip
    torch.manual_seed(0)
    block: Any = build_model(architecture).blocks[0].train()
    x = torch.randn(8, 196, 192)
    results = {}
    for kind in ("float64", "float32", "bf16"):
        b = copy.deepcopy(block).to("cpu" if kind == "float64" else DEVICE)
        b = b.double() if kind == "float64" else b
        y = x.clone().to(next(b.parameters())).requires_grad_()
        torch.manual_seed(1)
        weight = torch.randn(x.shape).to(y)
        with torch.autocast(y.device.type, torch.bfloat16, enabled=kind == "bf16"):
            out = b(y)
        torch.autograd.backward((out.to(y) * weight).sum())
        kept = {
            "output": out, "x_grad": y.grad, "qkv_grad": b.attn.qkv.weight.grad,
            "mix_grad": b.attn.reatten_matrix.weight.grad, "gain_grad": b.attn.var_norm.weight.grad,
            "running_var": b.attn.var_norm.running_var,
        }  # fmt: skip
        results[kind] = {name: t.detach().double().cpu() for name, t in kept.items()}
    truth = results["float64"]
    for kind in ("float32", "bf16"):
        errors = {
            n: float((t - truth[n]).norm() / truth[n].norm()) for n, t in results[kind].items()
        }
        say("correct", f"Re-attention block, {kind} against float64", **errors)


def precision() -> None:
    """A short training with Re-attention in bf16 and in float32, graphed."""
    architecture = cases.TINY.replace(reattention=(1, 2, 3))
    data = random_dataset(architecture, 32 if REHEARSE else 3200, signal=0.1)
    curves = {}
    for amp in ("auto", "off"):
        recipe = Recipe(
            epochs=2 if REHEARSE else 8, batch_size=16 if REHEARSE else 128, amp=amp
        )  # fmt: skip
        curves[amp] = cases.curve(
            proxy_epochs(architecture, data, recipe, seed=0, device=DEVICE, graphs=True)
        )
    ours, theirs = curves["auto"], curves["off"]
    say(
        "correct", "Re-attention, bf16 and float32: training loss", ours=float(ours[-1, 0]),
        theirs=float(theirs[-1, 0]), first_loss=float(theirs[0, 0]),
        largest_difference=float(np.abs(ours - theirs)[:, 0].max()),
        accuracy=[round(float(c[-1, 2]), 4) for c in (ours, theirs)],
    )  # fmt: skip


def memory() -> None:
    data, seen = random_dataset(BASE, 64 if REHEARSE else 2048), []
    recipe = Recipe(epochs=2, batch_size=16 if REHEARSE else 128)
    for seed in range(2 if REHEARSE else 6):
        architecture = BASE.replace(depth=2 + seed, embed_dim=64 + 32 * (seed % 3))
        cases.curve(proxy_epochs(architecture, data, recipe, seed=seed, device=DEVICE, graphs=True))
        if DEVICE.type == "cuda":
            memory = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
            seen.append([size >> 20 for size in memory])
    say("correct", "MiB allocated, reserved after each training", seen=seen)
