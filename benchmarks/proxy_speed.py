"""How fast a proxy training is beside a straightforward timm + AdamW loop on the same cores.

    python benchmarks/proxy_speed.py [--data FOLDER] [--threads 1] [--repeats 3]

Both train the same network on the same images in the same number of steps and validate after every
epoch; the loop is written as timm's examples are (its dataset, loader, transforms, optimizer and
schedule, a loss printed per step). Photographs are synthetic JPEG files unless `--data` names a
folder `<class>/*.jpg`. Prints a table and one line of JSON; cases the machine cannot run are named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import timm.data
import timm.optim
import timm.scheduler
import timm.utils
import torch
import training_step
from PIL import Image
from timm.models import VisionTransformer

from space import Architecture, count_flops
from trainers import Dataset, Recipe, load_dataset, train_proxy

DIGITS = Architecture(
    img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=3, num_heads=4,
    mlp_ratio=2,
)  # fmt: skip
PHOTOGRAPHS = Architecture(
    img_size=32, patch_size=4, num_classes=10, embed_dim=64, depth=4, num_heads=4
)
PHOTOGRAPHS_A_CLASS = 200


class Pictures(torch.utils.data.Dataset):
    """Images in files or in memory, opened one by one, as timm's ImageDataset does."""

    def __init__(self, sources: list[Path | Image.Image], labels: list[int], mode: str) -> None:
        self.sources, self.labels, self.mode, self.transform = sources, labels, mode, None

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        source = self.sources[index]
        image = source if isinstance(source, Image.Image) else Image.open(source)
        return self.transform(image.convert(self.mode)), self.labels[index]


def timm_loop(
    architecture: Architecture,
    data: Dataset,
    recipe: Recipe,
    train: Pictures,
    val: Pictures,
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> tuple[float, float]:
    """(validation accuracy after the last epoch, images a second of the fastest epoch's training)
    of the straightforward loop; on a GPU with timm's prefetching loader and bf16 autocast."""
    a, cuda = architecture, device.type == "cuda"
    model = VisionTransformer(
        img_size=a.img_size, patch_size=a.patch_size, in_chans=a.in_chans, depth=a.depth,
        num_classes=a.num_classes, embed_dim=a.embed_dim, num_heads=a.num_heads,
        mlp_ratio=a.mlp_ratio, class_token=False, global_pool="avg", fc_norm=False,
    ).to(device)  # fmt: skip
    shape = (a.in_chans, a.img_size, a.img_size)
    shared = {
        "input_size": shape, "batch_size": recipe.batch_size, "mean": data.mean, "std": data.std,
        "use_prefetcher": cuda, "crop_pct": 1.0, "device": device,
        "num_workers": len(os.sched_getaffinity(0)) if cuda else torch.get_num_threads(),
    }  # fmt: skip
    no_aug = data.augmentation == "none"
    train_loader = timm.data.create_loader(
        train, is_training=True, no_aug=no_aug, train_crop_mode=None if no_aug else "rkrc",
        color_jitter=0.0, persistent_workers=True, **shared,
    )  # fmt: skip
    val_loader = timm.data.create_loader(val, is_training=False, **shared)
    optimizer = timm.optim.create_optimizer_v2(
        model, opt="adamw", lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    scheduler = timm.scheduler.CosineLRScheduler(
        optimizer, t_initial=recipe.epochs, warmup_t=int(recipe.warmup_epochs), warmup_lr_init=1e-5
    )
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=cuda)
    fastest = 0.0
    for epoch in range(recipe.epochs):
        model.train()
        losses = timm.utils.AverageMeter()
        started = time.perf_counter()
        for images, labels in train_loader:
            with autocast():
                loss = loss_function(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            timm.utils.dispatch_clip_grad(model.parameters(), recipe.clip_grad)
            optimizer.step()
            losses.update(loss.item(), len(labels))
        fastest = max(fastest, losses.count / (time.perf_counter() - started))
        scheduler.step(epoch + 1)
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                with autocast():
                    correct += (model(images).argmax(1) == labels).sum().item()
    return correct / len(val), fastest


def timm_loop_on_gpu(
    architecture: Architecture, data: Dataset, recipe: Recipe, device: torch.device
) -> float:
    """Images a second of timm's loop on pictures that are decoded already, which spares it that."""
    train, val = (
        Pictures(
            [Image.fromarray(image.transpose(1, 2, 0)) for image in images], labels.tolist(), "RGB"
        )
        for images, labels in (
            (data.train_images, data.train_labels),
            (data.val_images, data.val_labels),
        )
    )
    return timm_loop(architecture, data, recipe, train, val, device)[1]


def compare(
    name: str, ours: Callable[[], float], theirs: Callable[[], float], repeats: int
) -> dict[str, object]:
    """Both by turns, the fastest of each counts: what else runs here slows both alike."""
    seconds: dict[str, list[float]] = {"ours": [], "timm_loop": []}
    accuracy = {}
    for _ in range(repeats):
        for key, run in (("ours", ours), ("timm_loop", theirs)):
            started = time.perf_counter()
            accuracy[key] = run()
            seconds[key].append(time.perf_counter() - started)
    best = {key: min(values) for key, values in seconds.items()}
    return {
        "case": name,
        "seconds": round(best["ours"], 2),
        "timm_loop_seconds": round(best["timm_loop"], 2),
        "ratio": round(best["timm_loop"] / best["ours"], 2),
        "accuracy": round(accuracy["ours"], 3),
        "timm_loop_accuracy": round(accuracy["timm_loop"], 3),
    }


def digits_case(repeats: int) -> dict[str, object]:
    data = load_dataset("digits")
    recipe = Recipe.for_dataset(data, epochs=10)
    pictures = [
        Pictures([Image.fromarray(image[0]) for image in images], labels.tolist(), "L")
        for images, labels in (
            (data.train_images, data.train_labels),
            (data.val_images, data.val_labels),
        )
    ]
    return compare(
        f"digits, {count_flops(DIGITS) / 1e6:.1f} MFLOPs, {recipe.epochs} epochs",
        lambda: train_proxy(DIGITS, data, recipe, 0, device="cpu").accuracy or 0.0,
        lambda: timm_loop(DIGITS, data, recipe, *pictures)[0],
        repeats,
    )


def photographs_case(folder: Path, cache: Path, repeats: int) -> dict[str, object]:
    """What is timed is a training; decoding once into the cache is the other case below."""
    files = sorted(folder.glob("*/*.jpg"))
    classes = sorted({file.parent.name for file in files})
    data = load_dataset(folder, img_size=32, train_samples=1200, cache_dir=cache)
    recipe = Recipe.for_dataset(data, epochs=3)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(files))
    counts = len(data.train_labels), len(data.val_labels)
    parts = order[: counts[0]], order[counts[0] : sum(counts)]
    pictures = [
        Pictures(
            [files[i] for i in part], [classes.index(files[i].parent.name) for i in part], "RGB"
        )
        for part in parts
    ]
    architecture = PHOTOGRAPHS.replace(num_classes=len(classes))
    return compare(
        f"photographs, {count_flops(architecture) / 1e6:.1f} MFLOPs, {recipe.epochs} epochs",
        lambda: train_proxy(architecture, data, recipe, 0, device="cpu").accuracy or 0.0,
        lambda: timm_loop(architecture, data, recipe, *pictures)[0],
        repeats,
    )


def decoding_rate(folder: Path) -> float:
    """Files of `folder` decoded into a new cache, per second and core that is there."""
    with tempfile.TemporaryDirectory() as cache:
        count, calls = len(list(folder.glob("*/*.jpg"))), list[tuple[int, int]]()
        started = time.perf_counter()
        load_dataset(folder, img_size=32, cache_dir=cache, progress=lambda *c: calls.append(c))
        seconds = time.perf_counter() - started
    assert calls[-1] == (count, count)
    return count / seconds / len(os.sched_getaffinity(0))


def make_photographs(folder: Path) -> Path:
    """Ten classes of 32 x 32 JPEG files: blobs of colour under noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for i in range(PHOTOGRAPHS_A_CLASS):
            centre = rng.uniform(8, 24, 2)
            blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (10 + 8 * label))
            colour = np.array([label * 25, 255 - label * 25, 128])
            image = blob[..., None] * colour + rng.normal(0, 12, (32, 32, 3)) + 20
            pixels = image.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{i}.jpg", quality=90)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="a folder <class>/*.jpg instead of synthetic files"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--root", type=Path, help="a training step beside this checkout's instead")
    parser.add_argument("--turns", type=int, default=30, help="of either checkout")
    arguments = parser.parse_args()
    if arguments.root is not None:
        rows = training_step.beside(arguments.root.resolve(), arguments.turns)
        print(json.dumps({"benchmark": "training_step", "cases": rows}))
        return
    torch.set_num_threads(arguments.threads)
    report: dict[str, object] = {"benchmark": "proxy_speed", "threads": arguments.threads}
    report |= on_the_cpu(arguments.data, arguments.repeats)
    print(json.dumps(report))


def on_the_cpu(folder: Path | None, repeats: int) -> dict[str, object]:
    """A digits training, one of photographs, and the decoding of JPEG files; printed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = folder or make_photographs(Path(scratch) / "images")
        cases = [digits_case(repeats), photographs_case(folder, Path(scratch) / "cache", repeats)]
        rate = decoding_rate(folder)
    print(f"{'case':45} {'ours':>8} {'timm loop':>10} {'ratio':>6}   accuracy, ours / timm loop")
    for case in cases:
        print(
            f"{case['case']:45} {case['seconds']:7.2f}s {case['timm_loop_seconds']:9.2f}s "
            f"{case['ratio']:6.2f}   {case['accuracy']:.3f} / {case['timm_loop_accuracy']:.3f}"
        )
    print(f"decoding 32 x 32 JPEG files: {rate:,.0f} a second and core")
    return {"cases": cases, "decoded_per_second_and_core": round(rate)}


if __name__ == "__main__":
    main()
