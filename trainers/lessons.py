"""What a proxy training learns from a teacher: logits kept from before, or a teacher beside it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.device.context import on_device
from trainers.device.split import to_tensor
from trainers.device.streaming import open_split
from trainers.images.stored import Images, StoredImages
from trainers.losses import distillation
from trainers.teacher import Teacher

if TYPE_CHECKING:
    from trainers.images.dataset import Dataset
    from trainers.recipe import Recipe

Logits: TypeAlias = NDArray[np.float32]
"""A teacher's, (N, classes), of the training images of a dataset."""

KEPT_AT_MOST = 2**30  # bytes of logits, which every training has on its device
_AT_ONCE = 256


class Lessons:
    """A teacher's part of the loss of one training, as `recipe` weighs it."""

    def __init__(self, teacher: Teacher | Logits, recipe: Recipe, device: torch.device) -> None:
        self._alpha, self._temperature = recipe.distillation_alpha, recipe.distillation_temperature
        self._teacher = teacher.to(device).eval() if isinstance(teacher, Teacher) else None
        self._kept = None if isinstance(teacher, Teacher) else to_tensor(teacher, device)

    def mixed(self, loss: Tensor, logits: Tensor, images: Tensor, rows: Tensor) -> Tensor:
        """`loss` with the teacher's part; `rows` are the places of `images` in the dataset."""
        if self._kept is not None:
            theirs = self._kept[rows]
        else:
            assert self._teacher is not None
            with torch.no_grad():
                theirs = self._teacher(images).float()
        learnt = distillation(logits, theirs, temperature=self._temperature)
        return (1 - self._alpha) * loss + self._alpha * learnt


def runs_beside(recipe: Recipe, dataset: Dataset) -> bool:
    """Whether a teacher sees each batch anew: its images are augmented, or its logits of all of
    them would take more than 1 GiB."""
    size = 4 * len(dataset.train_labels) * dataset.num_classes
    return recipe.augmentation_of(dataset) != "none" or size > KEPT_AT_MOST


def kept_logits(
    teacher: Teacher,
    dataset: Dataset,
    root: Path | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Logits:
    """The teacher's logits of the training images as they are, mapped from a file below `root`
    that is made where it is not there; in memory without one. Raises ValueError if one is not
    finite."""
    shape = (len(dataset.train_labels), dataset.num_classes)
    file = None if root is None else root / f"logits-{_digest(teacher, dataset)}.npy"
    known = None if file is None else _read(file, shape)
    if known is not None:
        return known
    with contextlib.suppress(OSError):  # a full disk, or a read-only one
        if file is not None:
            making = file.with_suffix(f".{os.getpid()}")
            try:
                room: Logits = np.lib.format.open_memmap(making, "w+", np.float32, shape)
                _fill(room, teacher, dataset, progress)
                os.replace(making, file)
            finally:
                making.unlink(missing_ok=True)
            return np.asarray(room)
    room = np.empty(shape, np.float32)
    _fill(room, teacher, dataset, progress)
    return room


def _fill(
    room: Logits, teacher: Teacher, dataset: Dataset, progress: Callable[[int, int], None]
) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = teacher.to(device).eval()
    split = open_split(
        dataset.train_images, dataset.train_labels, mean=dataset.mean, std=dataset.std,
        img_size=dataset.img_size, device=device,
    )  # fmt: skip
    rows = torch.split(torch.arange(len(room), device=device), _AT_ONCE)
    window = split.window(_AT_ONCE)
    with on_device(device), torch.inference_mode():
        for batch, places in zip(rows, split.bring(rows, window), strict=True):
            found = teacher(window.batch(places)).float().cpu().numpy()
            if not np.isfinite(found).all():
                raise ValueError(
                    "`--teacher` must give finite numbers, but gives others for the images to "
                    "train on: give one that was trained to its end."
                )
            room[batch.cpu().numpy()] = found
            progress(int(batch[-1]) + 1, len(room))


def _digest(teacher: Teacher, dataset: Dataset) -> str:
    """32 hex digits of all that the logits depend on."""
    how = (dataset.mean, dataset.std, dataset.img_size, dataset.num_classes)
    digest = hashlib.sha256(f"{teacher.fingerprint()} {how}".encode())
    for part in _identity(dataset.train_images):
        digest.update(part)
    return digest.hexdigest()[:32]


def _identity(images: Images) -> tuple[Any, ...]:
    """Bytes that tell images apart; a file's path, which names its contents, stands for them."""
    if isinstance(images, StoredImages):
        stored = images.stored
        where = os.fsencode(stored) if isinstance(stored, Path) else np.ascontiguousarray(stored)
        return where, np.ascontiguousarray(images.rows)
    return (np.ascontiguousarray(images),)


def _read(file: Path, shape: tuple[int, int]) -> Logits | None:
    """The file's logits, mapped; None if it is not there or damaged."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = found.shape == shape and found.dtype == np.float32
    return np.asarray(found) if whole else None
