"""Images on the device: uint8 arrays become normalised, augmented batches there, no loader."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

_FLOATS_AT_MOST = 2**30  # bytes of a normalised set that is kept instead of made batch by batch


def to_tensor(
    array: NDArray[np.uint8] | NDArray[np.int64] | NDArray[np.float32], device: torch.device
) -> Tensor:
    """The array on the device; on the CPU the same memory, which must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # Ray's shared memory
        return torch.from_numpy(array).to(device)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceImages:
    """One split on the device: `pixels` (N, C, S, S), normalised already or still uint8."""

    pixels: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def window(self, count: int) -> DeviceImages:
        """What trainings read batches from, beside `StreamedImages`: itself."""
        return self

    def places(self, batches: Tensor) -> Tensor:
        """Where in the window the images of `batches` are: where they always are."""
        return batches

    def bring(self, batches: Iterable[Tensor], window: DeviceImages) -> Iterator[Tensor]:
        """The places of one of `batches` after the other."""
        yield from batches

    def batch(self, rows: Tensor) -> Tensor:
        """The normalised images of `rows`, (B, C, S, S)."""
        return self.normalised(self.pixels[rows])

    def augmented_batch(self, rows: Tensor, generator: Generator, *, mirror: bool = True) -> Tensor:
        """As `batch`, each image shifted by up to an eighth of its side and, unless `mirror` is
        False, mirrored at random."""
        return self.normalised(crop_flip(self.pixels, rows, generator=generator, mirror=mirror))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Zero mean and unit variance by channel; float pixels are so already."""
        if pixels.dtype != torch.uint8:
            return pixels
        return torch.addcmul(-self.mean / self.std, pixels, 1 / (255 * self.std))


def device_images(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    img_size: int,
    device: torch.device,
) -> DeviceImages:
    """A split moved to the device, resized to `img_size` if it has another size.

    Normalised there once where that takes at most 1 GiB, else it stays uint8.
    """
    pixels = to_tensor(images, device)
    if pixels.shape[-1] != img_size:
        pixels = resize(pixels, img_size)
    split = DeviceImages(
        pixels=pixels,
        labels=to_tensor(labels, device),
        mean=torch.tensor(mean, device=device).view(-1, 1, 1),
        std=torch.tensor(std, device=device).view(-1, 1, 1),
    )
    if 4 * pixels.numel() > _FLOATS_AT_MOST:
        return split
    return DeviceImages(
        pixels=split.normalised(pixels), labels=split.labels, mean=split.mean, std=split.std
    )


def resize(images: Tensor, img_size: int) -> Tensor:
    """uint8 images (N, C, H, W) at another size: bicubic, antialiased, in parts of 1,024."""
    parts = []
    for part in torch.split(images, 1024):
        resized = F.interpolate(
            part.float(), size=(img_size, img_size), mode="bicubic", antialias=True
        )
        parts.append(resized.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(parts)


def crop_flip(images: Tensor, rows: Tensor, *, generator: Generator, mirror: bool = True) -> Tensor:
    """Images `rows` of (N, C, S, S), each shifted by up to S/8 in both directions, the rim filled
    by reflection, and with `mirror` mirrored with probability 1/2. One gather, no padded copy."""
    count, size, device = len(rows), images.shape[-1], images.device
    reach = max(1, size // 8)
    shifts = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator, device=device)
    places = torch.arange(size, device=device)
    down, across = (_reflect(places + shift, size) for shift in shifts)  # (B, S) each
    if mirror:
        mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
        across = torch.where(mirrored, across.flip(1), across)
    channels = torch.arange(images.shape[1], device=device)
    return images[
        rows[:, None, None, None],
        channels[None, :, None, None],
        down[:, None, :, None],
        across[:, None, None, :],
    ]


def _reflect(places: Tensor, size: int) -> Tensor:
    """Places outside 0 to size - 1 reflected at the edge pixels, which are not repeated."""
    last = size - 1
    return (last - (last - places.abs()).abs()).abs()
