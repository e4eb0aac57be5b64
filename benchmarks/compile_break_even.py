"""After how many steps has `torch.compile` paid for itself?

    python benchmarks/compile_break_even.py [--threads 2]

Forward, loss and backward of a batch, as they are and compiled (Inductor, no cache from before), in
one process by turns; on the GPU under bf16 autocast if there is one. First each network by itself,
with fixed shapes: every trial is another network, so `compile_seconds` are paid by each;
`steps_of_a_training` says how many a proxy training of it has. Then one graph of a block for all
networks, its weights inputs and its shapes dynamic: what it costs the first time each is met, and
how many graphs it became.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.utils import counters

from space import Architecture, build_model, count_flops
from space.model import LAYER_NORM_EPS

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
# (network, batch): widths, heads, lengths and batches that one graph should serve
PATCH_8 = CIFAR | {"patch_size": 8}
SHARED = (
    (Architecture(**DIGITS, embed_dim=64, depth=3, mlp_ratio=2), 64),
    (Architecture(**DIGITS | {"num_heads": 2}, embed_dim=32, depth=6), 64),
    (Architecture(**DIGITS | {"num_heads": 1}, embed_dim=16, depth=8), 64),
    (Architecture(**CIFAR, embed_dim=64, depth=4), 32),
    (Architecture(**CIFAR | {"num_heads": 3}, embed_dim=192, depth=4), 32),
    (Architecture(**PATCH_8 | {"num_heads": 2}, embed_dim=32, depth=12), 32),
    (Architecture(**PATCH_8 | {"num_heads": 3}, embed_dim=96, depth=6), 128),
)
ROUNDS, STEPS = 7, 10


def block(x: torch.Tensor, heads: int, weights: list[torch.Tensor]) -> torch.Tensor:
    """A plain pre-norm block (B, N, C) -> (B, N, C) as a function of its weights."""
    norm1, bias1, qkv, qkv_bias, proj, proj_bias, norm2, bias2, fc1, fc1_bias, fc2, fc2_bias = (
        weights
    )
    batch, tokens, dim = x.shape
    y = F.linear(F.layer_norm(x, (dim,), norm1, bias1, LAYER_NORM_EPS), qkv, qkv_bias)
    q, k, v = y.reshape(batch, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)
    x = x + F.linear(y, proj, proj_bias)
    y = F.linear(F.layer_norm(x, (dim,), norm2, bias2, LAYER_NORM_EPS), fc1, fc1_bias)
    return x + F.linear(F.gelu(y), fc2, fc2_bias)


def with_shared_blocks(model: nn.Module, graph: Callable[..., torch.Tensor]) -> nn.Module:
    """`model`, its blocks (plain, without pools) computed by `graph`."""
    for module in model.blocks:  # type: ignore[union-attr]
        module.forward = partial(
            graph, heads=module.attn.num_heads, weights=list(module.parameters())
        )
    return model


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


def measure(
    architecture: Architecture,
    batch: int,
    device: str,
    compile_model: Callable[[nn.Module], nn.Module],
) -> dict[str, float]:
    """Seconds of a step as it is and compiled, and those of compiling."""
    torch.manual_seed(0)
    model = build_model(architecture).to(device).train()
    size = architecture.img_size
    images = torch.rand(batch, architecture.in_chans, size, size, device=device)
    labels = torch.randint(architecture.num_classes, (batch,), device=device)
    plain = trainer(model, images, labels)
    compiled = trainer(compile_model(copy.deepcopy(model)), images, labels)
    seconds(plain, STEPS)
    compiling = seconds(compiled)
    seconds(compiled, STEPS)
    turns = [(seconds(plain, STEPS), seconds(compiled, STEPS)) for _ in range(ROUNDS)]
    eager, fast = (statistics.median(column) / STEPS for column in zip(*turns, strict=True))
    return {"compile_seconds": compiling, "plain_ms": eager * 1e3, "compiled_ms": fast * 1e3}


def alone(device: str) -> list[dict[str, object]]:
    """Every network compiled by itself."""
    found: list[dict[str, object]] = []
    for name, architecture, batch, steps in CASES:
        torch.compiler.reset()
        row = measure(architecture, batch, device, partial(torch.compile, dynamic=False))  # type: ignore[arg-type]
        gain = (row["plain_ms"] - row["compiled_ms"]) / 1e3
        found.append(
            {"case": name}
            | described(architecture, row)
            | {
                "break_even_steps": round(row["compile_seconds"] / gain) if gain > 0 else None,
                "steps_of_a_training": steps,
            }
        )
        print(found[-1], flush=True)
    return found


def shared(device: str) -> list[dict[str, object]]:
    """One graph of a block for all networks."""
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = 64  # beyond it a block silently runs as it is
    graph = torch.compile(block, dynamic=True)
    found: list[dict[str, object]] = []
    for architecture, batch in SHARED:
        before = counters["stats"]["unique_graphs"]
        row = measure(architecture, batch, device, partial(with_shared_blocks, graph=graph))
        made = counters["stats"]["unique_graphs"] - before
        found.append(described(architecture, row) | {"new_graphs": made})
        print(found[-1], flush=True)
    return found


def described(architecture: Architecture, row: dict[str, float]) -> dict[str, object]:
    return (
        {"mflops": round(count_flops(architecture) / 1e6, 2)}
        | {key: round(value, 2) for key, value in row.items()}
        | {"ratio": round(row["plain_ms"] / row["compiled_ms"], 2)}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
        found = {"alone": alone(device), "shared": shared(device)}
    about = {"device": device, "threads": arguments.threads, "torch": torch.__version__}
    print(json.dumps({"benchmark": "compile_break_even"} | about | found))


if __name__ == "__main__":
    main()
