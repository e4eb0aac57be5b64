"""Training images through timm's transforms. Each draws from its own seed, so that neither the
number of processes nor where a training was interrupted changes them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import Mixup, create_transform
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import RandomCrop

from trainers.errors import DataError
from trainers.full_recipe import RAND_AUGMENT, FullRecipe
from trainers.images.dataset import Dataset


class AugmentedImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The training split; an item (row, seed) is one augmented, normalised image and its label."""

    def __init__(self, dataset: Dataset, recipe: FullRecipe, img_size: int) -> None:
        self._images, self._labels = dataset.train_images, dataset.train_labels
        self._transform = transform_of(dataset, recipe, img_size)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, int]:
        row, seed = item
        seed_all(seed)
        pixels = np.asarray(self._images[row]).transpose(1, 2, 0)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self._transform(image), int(self._labels[row])


def transform_of(dataset: Dataset, recipe: FullRecipe, img_size: int) -> Any:
    """timm's transform from a PIL image to a normalised tensor (C, S, S). Raises DataError.

    Images that mirroring or cropping would change, such as signs, are not augmented.
    """
    size = (dataset.in_chans, img_size, img_size)
    if dataset.in_chans not in (1, 3):
        raise DataError(
            f"Images must have 1 or 3 channels to be augmented, but those of {dataset.name} have "
            f"{dataset.in_chans}: write them as grey or RGB."
        )
    shape = {"mean": dataset.mean, "std": dataset.std, "interpolation": "bicubic"}
    if dataset.augmentation == "none":
        return create_transform(size, is_training=False, crop_pct=1.0, **shape)
    try:
        transform = create_transform(
            size, is_training=True, scale=(recipe.crop_scale, 1.0), color_jitter=0.3,
            auto_augment=recipe.auto_augment, re_prob=recipe.random_erasing, re_mode="pixel",
            **shape,
        )  # fmt: skip
    except (AssertionError, KeyError, ValueError) as error:
        raise DataError(
            f"`auto_augment` must be a policy of timm such as {RAND_AUGMENT}, but got "
            f"{recipe.auto_augment!r}: {error}."
        ) from None
    if recipe.crop == "padded":
        padding = max(1, img_size // 8)
        transform.transforms[0] = RandomCrop(img_size, padding=padding, padding_mode="reflect")
    return transform


def seed_all(seed: int) -> None:
    """Seeds the three global generators that timm's transforms and mixing draw from, on the CPU."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # 150 times as fast as `torch.manual_seed`


def mixing_of(recipe: FullRecipe, num_classes: int) -> Any:
    """timm's mixing of the images of a batch, which smooths their labels; None where it is off."""
    if not recipe.mixup_prob or not (recipe.mixup or recipe.cutmix):
        return None
    return Mixup(
        mixup_alpha=recipe.mixup, cutmix_alpha=recipe.cutmix, prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob, label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )  # fmt: skip


@contextlib.contextmanager
def kept_generators() -> Generator[None]:
    """Inside, the global generators may be seeded; then they are as they were."""
    states = random.getstate(), np.random.get_state()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def draws(*key: int) -> np.random.Generator:
    """A generator of its own for a key: (seed, what for, epoch)."""
    return np.random.default_rng(key)


def epoch_order(
    count: int, batch_size: int, *, repeats: int, seed: int, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and seeds of the images of every step of an epoch, both (steps, batch_size); the rest
    below a batch is left out. `repeats`: how often in a row an image comes (DeiT's sampler)."""
    generator = draws(seed, 1, epoch)
    rows = np.repeat(generator.permutation(count), repeats)[: count - count % batch_size]
    seeds = generator.integers(2**62, size=len(rows))
    return rows.reshape(-1, batch_size), seeds.reshape(-1, batch_size)


def load_batches(
    images: AugmentedImages,
    rows: NDArray[np.int64],
    seeds: NDArray[np.int64],
    *,
    processes: int,
    pin_memory: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (B, C, S, S) and labels (B,) of `rows` and `seeds` (steps, B), in order; made in
    this process for 0 `processes`."""
    items = [
        list(zip(r.tolist(), s.tolist(), strict=True)) for r, s in zip(rows, seeds, strict=True)
    ]
    loader = DataLoader(
        images,
        batch_sampler=items,
        num_workers=processes,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader
