"""How fast is a step: replayed from a graph, eager, with the network in bf16, timm's own; and whole
epochs, blocks with Re-attention, timm's loop with its loader."""

from __future__ import annotations

import copy
import dataclasses
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import timm.optim
import timm.utils
import torch
import torch.nn.functional as F
from cases import DEVICE, REHEARSE, ROOT, SMALL, TINY, case, milliseconds, random_dataset, say, wait
from timm.layers import set_fused_attn
from torch import nn

from space import Architecture, build_model, count_flops, named
from trainers import ProxyTraining, Recipe, proxy_epochs
from trainers.device.context import on_device
from trainers.device.cuda_graph import Replayed

REATTENTION = SMALL.replace(reattention=tuple(range(SMALL.depth)))
Case = tuple[str, Architecture, int, int]  # name, network, batch, steps in a group


def speed() -> None:
    for each in speed_cases():
        with case("speed", each[0]):
            one_network(*each)
    with case("speed", "Re-attention blocks"):
        reattention_blocks()
    with case("speed", "whole trainings"):
        whole_trainings()
    if not REHEARSE:
        with case("speed", "torch.compile of a block"):
            compiled_blocks()


def speed_cases() -> list[Case]:
    if REHEARSE:
        return [("4x64", TINY, 8, 1), ("Re-attention", TINY.replace(reattention=(0, 1)), 8, 1)]
    return [
        ("4x64 32px", TINY, 512, 60), ("4x64 32px", TINY, 64, 100),
        ("12x192 32px", SMALL, 512, 30), ("12x192 32px", SMALL, 128, 60),
        ("12x192 32px Re-attention", REATTENTION, 512, 20),
        ("DeiT-Ti 224px", named("deit_tiny"), 256, 12),
        ("HVT-S-1 224px", named("hvt_s_1"), 256, 12),
        ("DeiT-S 224px", named("deit_small"), 128, 12),
    ]  # fmt: skip


class LowPrecision(ProxyTraining):
    """A prototype: the network and its residual stream in bf16, float32 masters, no autocast."""

    def __init__(self, *args: Any, graphs: bool = False, **options: Any) -> None:
        super().__init__(*args, graphs=graphs, **options)
        self._net = copy.deepcopy(self.model).train()
        for name, module in self._net.named_modules():
            if isinstance(module, nn.BatchNorm2d) or name.endswith("reatten_matrix"):
                continue
            for key, value in list(module._parameters.items()):
                if value is not None:
                    module._parameters[key] = nn.Parameter(value.detach().bfloat16())
        self._low = list(self._net.parameters())
        self._grads = [torch.zeros_like(p) for p in self._parameters]
        for p, g in zip(self._parameters, self._grads, strict=True):
            p.grad = g
        enabled = graphs and self.device.type == "cuda"
        self._step = Replayed(
            partial(LowPrecision._low_step, weakref.proxy(self)), enabled=enabled, warm_up=3,
            generator=self._generator,
            pool=torch.cuda.graph_pool_handle() if enabled else None,
        )  # fmt: skip

    def _low_step(self) -> None:
        rows = self._order.index_select(0, self._steps_done % self.steps_per_epoch)[0]
        for p in self._low:
            p.grad = None
        logits = self._net(self._images.augmented_batch(rows, self._generator).bfloat16())
        loss = F.cross_entropy(
            logits.float(), self._images.labels[rows], label_smoothing=self.recipe.label_smoothing
        )
        torch.autograd.backward(loss)
        self._loss += loss.detach()
        with torch.no_grad():
            torch._foreach_copy_(self._grads, [p.grad for p in self._low])
            nn.utils.clip_grad_norm_(self._parameters, 1.0, foreach=True)
            self._rate.copy_(self._rates.index_select(0, self._steps_done)[0, 0])
            for optimizer in self._optimizers:
                optimizer.step()
            masters = [p.detach() for p in self._parameters]
            torch._foreach_copy_([p.detach() for p in self._low], masters)
        for p in self._low:
            p.grad = None
        self._steps_done += 1


def plain_step(model: nn.Module, architecture: Architecture, batch: int) -> Callable[[], None]:
    """What timm gives a training, eager, without a wait a step; images are on the device."""
    cuda, size = DEVICE.type == "cuda", architecture.img_size
    model.to(DEVICE).train()
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    images = torch.randn(batch, architecture.in_chans, size, size, device=DEVICE)
    labels = torch.randint(architecture.num_classes, (batch,), device=DEVICE)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=cuda):
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        timm.utils.dispatch_clip_grad(model.parameters(), 1.0)
        optimizer.step()

    return step


def timms(architecture: Architecture) -> nn.Module:
    """timm's own network, or ours where timm has none."""
    a = architecture
    if a.reattention or a.pools:
        return build_model(a)
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=a.img_size, patch_size=a.patch_size, depth=a.depth,
        embed_dim=a.embed_dim, num_heads=a.num_heads, num_classes=a.num_classes,
    )  # fmt: skip


def one_network(name: str, architecture: Architecture, batch: int, count: int) -> None:
    images = 4 * batch if architecture.img_size > 64 else 20 * batch
    data = random_dataset(architecture, images)
    recipe = Recipe(
        epochs=2 if REHEARSE else 10_000 // (images // batch), batch_size=batch, warmup_epochs=1.0
    )
    figures, first = dict[str, float](), dict[str, float]()
    for kind, made, graphs in (
        ("graph", ProxyTraining, True), ("eager", ProxyTraining, False),
        ("bf16 net, graph", LowPrecision, True), ("bf16 net, eager", LowPrecision, False),
    ):  # fmt: skip
        with case("speed", f"{name}, {kind}"), on_device(DEVICE):
            started = time.perf_counter()
            training = made(architecture, data, recipe, seed=0, device=DEVICE, graphs=graphs)
            training.model.train()
            training._order.copy_(training._train.places(training._batches()))
            for _ in range(1 if REHEARSE else 5):
                training._step()
            wait()
            first[kind] = time.perf_counter() - started
            figures[kind] = milliseconds(training._step, count=count)
            assert torch.isfinite(training._loss).item()
            del training
    with case("speed", f"{name}, timm"):
        step = plain_step(timms(architecture), architecture, batch)
        figures["timm"] = milliseconds(step, count=count)
    nothing, best = float("nan"), figures.get("graph", float("nan"))
    say(
        "speed", f"{name}, batch {batch}", **{f"{k} ms": round(v, 3) for k, v in figures.items()},
        images_per_second=1e3 * batch / best,
        tflops=6e-9 * count_flops(architecture) * batch / best,
        graph_over_eager=figures.get("eager", nothing) / best,
        graph_over_timm=figures.get("timm", nothing) / best,
        low_over_graph=best / figures.get("bf16 net, graph", nothing),
        seconds_to_first_steps={k: round(v, 2) for k, v in first.items()},
    )  # fmt: skip


def reattention_blocks() -> None:
    """A step of one block with Re-attention against a plain one, with explicit and fused maps."""
    for dim, heads, tokens in ((192, 3, 64),) if REHEARSE else ((192, 3, 64), (384, 6, 196)):
        figures = {}
        for kind in ("reattention", "explicit", "fused"):
            set_fused_attn(kind == "fused")
            architecture = Architecture(
                img_size=round(tokens**0.5), patch_size=1, num_classes=10, embed_dim=dim, depth=1,
                num_heads=heads, reattention=(0,) if kind == "reattention" else (),
            )  # fmt: skip
            torch.manual_seed(0)
            block: Any = build_model(architecture).blocks[0].to(DEVICE)
            x = torch.randn(2 if REHEARSE else 256, tokens, dim, device=DEVICE, requires_grad=True)
            step = Replayed(partial(block_step, block, x), enabled=DEVICE.type == "cuda", warm_up=3)
            figures[kind] = milliseconds(step, count=20)
        set_fused_attn(True)
        say("speed", f"block {dim} wide, {heads} heads, {tokens} tokens, ms", **figures)


def block_step(block: nn.Module, x: torch.Tensor) -> None:
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
        loss = block(x).float().square().mean()
    torch.autograd.backward(loss)
    block.zero_grad(set_to_none=True)
    x.grad = None


def whole_trainings() -> None:
    data = random_dataset(SMALL, 64 if REHEARSE else 25_600)
    recipe = Recipe(epochs=3, batch_size=16 if REHEARSE else 512, warmup_epochs=1.0)
    for kind, architecture in {"plain": SMALL, "Re-attention": REATTENTION}.items():
        for graphs in (True, False):
            epochs = list(
                proxy_epochs(architecture, data, recipe, seed=0, device=DEVICE, graphs=graphs)
            )
            say(
                "speed", f"whole epochs, {kind}, graphs {graphs}",
                seconds=[round(e["seconds"], 3) for e in epochs],
                training_images_per_second=[round(e["images_per_second"]) for e in epochs],
            )  # fmt: skip


def compiled_blocks() -> None:
    """Whether fusing is worth it: one network, its blocks compiled, with eager launches."""
    model = build_model(SMALL).to(DEVICE)
    started = time.perf_counter()
    for block in model.blocks:
        block.compile(dynamic=False)
    step = plain_step(model, SMALL, 512)
    step()
    wait()
    seconds = time.perf_counter() - started
    say("speed", "compiled blocks, eager", ms=milliseconds(step, count=30), compiling=seconds)


def loop() -> None:
    """Whole epochs from graphs against timm's own loop with its loader."""
    sys.path.append(str(ROOT / "benchmarks"))
    import proxy_speed

    data = random_dataset(SMALL, 64 if REHEARSE else 25_600)
    recipe = Recipe(epochs=2, batch_size=16 if REHEARSE else 512, warmup_epochs=1.0)
    with case("timm", "loop"):
        theirs = proxy_speed.timm_loop_on_gpu(SMALL, data, recipe, DEVICE)
        longer = dataclasses.replace(recipe, epochs=3)
        training = proxy_epochs(SMALL, data, longer, seed=0, device=DEVICE, graphs=True)
        ours = max(epoch["images_per_second"] for epoch in training)
        say("timm", "images a second", ours=ours, theirs=theirs, ratio=ours / theirs)
