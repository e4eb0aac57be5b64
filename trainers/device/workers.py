"""What each of several workers of one training does: its share of a batch, common statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn


def place_of_worker() -> tuple[int, int]:
    """(rank, how many workers there are)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share_of_batch(batch_size: int, rank: int, world: int) -> NDArray[np.int64]:
    """The places of one of `world` workers in a batch: with each image the one that mixing pairs it
    with, the batch in reverse."""
    half = batch_size // 2 // world
    first = np.arange(rank * half, (rank + 1) * half)
    return np.concatenate([first, batch_size - 1 - first[::-1]])


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """The network with statistics over all workers wherever it normalises by a batch. Raises
    ValueError for a BatchNorm that no CPU can share."""
    for module in model.modules():
        if hasattr(module, "synchronised"):
            module.synchronised = True  # type: ignore[assignment]
    if device.type == "cuda":
        convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(model)
    shared = {m.var_norm for m in model.modules() if hasattr(m, "synchronised")}
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in shared:
            raise ValueError(
                f"`--workers` must be 1 on CPUs for a network with BatchNorm ({name}), whose "
                "statistics workers share on GPUs alone: leave --workers out, or train on GPUs."
            )
    return model


def batch_of_all(asked: int, images: int, world: int) -> int:
    """How many images a step takes of all workers together: what is asked, at most all, in even
    shares. Raises ValueError if that is none."""
    size = min(asked, images)
    size -= size % (2 * world)
    if not size:
        raise ValueError(
            f"A batch must hold two images for each worker, but `batch_size` is {asked} with "
            f"{images} training images and {world} workers: give fewer --workers or a larger "
            "--batch-size."
        )
    return size
