"""Loss and accuracy of a trained model."""

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

_BATCH, _BATCH_ON_CPU = 512, 64  # on a CPU what fits the cache is 1.4 to 2 times as fast


def evaluate(
    model: nn.Module,
    images: Images,
    labels: NDArray[np.int64],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    img_size: int | None = None,
) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of `model` in eval mode on uint8 images (N, C, S, S).

    On the model's device, in float32. `img_size`: what the model takes if not the images' size.
    """
    device = next(model.parameters()).device
    split = open_split(
        images, labels, mean=mean, std=std, img_size=img_size or images.shape[-1], device=device
    )
    return score(model, split, amp=False)


def score(
    model: nn.Module, split: DeviceImages | StreamedImages, *, amp: bool
) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) of `model` in eval mode; one wait for the device."""
    loss, correct = (totals(model, split, amp=amp) / len(split)).tolist()
    return loss, correct


@torch.inference_mode()
def totals(model: nn.Module, split: DeviceImages | StreamedImages, *, amp: bool) -> Tensor:
    """Cross-entropy summed over the split and how many are right, (2,) float64, on the device."""
    device = split.labels.device
    model.eval()
    total = torch.zeros(2, dtype=torch.float64, device=device)
    size = _BATCH_ON_CPU if device.type == "cpu" else _BATCH
    images = split.window(size)
    batches = torch.split(torch.arange(len(split), device=device), size)
    for rows in split.bring(batches, images):
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            logits = model(images.batch(rows)).float()
        labels = images.labels[rows]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        total += torch.stack([loss, (logits.argmax(1) == labels).sum()])
    return total


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
