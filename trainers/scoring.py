"""Loss and accuracy of a trained model, or another metric."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainers.device.split import DeviceImages
from trainers.device.streaming import StreamedImages, open_split
from trainers.images.dataset import Dataset
from trainers.images.stored import Images
from trainers.metrics import CLASSES_OF_TOP5, OVER_CLASSES

_BATCH, _BATCH_ON_CPU = 512, 64  # on a CPU what fits the cache is 1.4 to 2 times as fast


def evaluate(
    model: nn.Module,
    images: Images,
    labels: NDArray[np.int64],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    img_size: int | None = None,
    metric: str = "accuracy",
) -> tuple[float, float]:
    """(mean cross-entropy, metric) of `model` in eval mode on uint8 images (N, C, S, S).

    On the model's device, in float32. `img_size`: what the model takes if not the images' size.
    """
    device = next(model.parameters()).device
    split = open_split(
        images, labels, mean=mean, std=std, img_size=img_size or images.shape[-1], device=device
    )
    loss, _, value = measured(model, split, amp=False, metric=metric).tolist()
    return loss, value


def score(
    model: nn.Module, split: DeviceImages | StreamedImages, *, amp: bool
) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of `model` in eval mode; one wait for the device."""
    loss, accuracy, _ = measured(model, split, amp=amp).tolist()
    return loss, accuracy


@torch.inference_mode()
def measured(
    model: nn.Module,
    split: DeviceImages | StreamedImages,
    *,
    amp: bool,
    metric: str = "accuracy",
) -> Tensor:
    """(mean cross-entropy, accuracy, metric) over the split, float64, on the device: nothing waits
    for it, so that a GPU replays it from a graph."""
    device = split.labels.device
    model.eval()
    total = torch.zeros(3, dtype=torch.float64, device=device)
    tallies: Tensor | None = None  # by class: right, asked for, answered
    size = _BATCH_ON_CPU if device.type == "cpu" else _BATCH
    images = split.window(size)
    batches = torch.split(torch.arange(len(split), device=device), size)
    for rows in split.bring(batches, images):
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            logits = model(images.batch(rows)).float()
        labels = images.labels[rows]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        answers = logits.argmax(1)
        right = counted = answers == labels
        if metric == "top5":
            likely = logits.topk(min(CLASSES_OF_TOP5, logits.shape[1]), dim=1).indices
            counted = likely == labels[:, None]
        total += torch.stack([loss, right.sum(), counted.sum()])
        if metric in OVER_CLASSES:
            batch = _tallies(right, labels, answers, classes=logits.shape[1])
            tallies = batch if tallies is None else tallies + batch
    loss, accuracy, value = (total / len(split)).unbind()
    if tallies is not None:
        value = _mean_over_classes(metric, *tallies)
    return torch.stack([loss, accuracy, value])


def _tallies(right: Tensor, labels: Tensor, answers: Tensor, *, classes: int) -> Tensor:
    """By class how many images are right, asked for and answered, (3, classes)."""
    tallies = torch.zeros(3, classes, dtype=torch.float64, device=labels.device)
    ones = torch.ones(len(labels), dtype=torch.float64, device=labels.device)
    for tally, places, counts in zip(
        tallies, (labels, labels, answers), (right.double(), ones, ones), strict=True
    ):
        tally.index_add_(0, places, counts)
    return tallies


def _mean_over_classes(metric: str, right: Tensor, asked: Tensor, answered: Tensor) -> Tensor:
    """Balanced accuracy over the classes asked for, macro F1 over those asked for or answered."""
    if metric == "balanced_accuracy":
        return (right / asked.clamp(min=1)).sum() / (asked > 0).sum()
    both = asked + answered
    return (2 * right / both.clamp(min=1)).sum() / (both > 0).sum()


@torch.no_grad()
def recalibrate(
    model: nn.Module, dataset: Dataset, rows: NDArray[np.int64], *, device: torch.device, amp: bool
) -> None:
    """Averages BatchNorm statistics anew over the training images `rows` (batches, B), which are
    not augmented; nothing is done without BatchNorm."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    chosen = rows.reshape(-1)
    images, labels = np.asarray(dataset.train_images[chosen]), dataset.train_labels[chosen]
    size = dataset.img_size
    split = open_split(
        images, labels, mean=dataset.mean, std=dataset.std, img_size=size, device=device
    )
    model.train()
    for name, module in model.named_modules():
        if name.endswith("drop_path"):
            module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        if norm.running_var is not None:
            norm.running_var.zero_()
        norm.momentum = None  # a cumulative average
    for places in torch.arange(len(chosen), device=device).view(rows.shape):
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            model(split.window(len(places)).batch(places))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
