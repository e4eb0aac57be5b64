"""Splits too large to copy: streamed to the device batch by batch, or moved there whole."""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.device.split import DeviceImages, device_images, resize, to_tensor
from trainers.images.stored import Images, StoredImages

AHEAD = 6  # batches that are read, or being read, before they are wanted
READERS = 4  # threads that read them; NumPy copies outside the GIL
RESIDENT_SHARE = 0.5  # at most, of the device memory this process may still take, for one split
_MOVED_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedImages:
    """One split whose images (N, C, H, W) stay stored; `window` is where batches arrive. Threads
    read into memory, pinned for a GPU; a stream of its own copies from there while the device
    computes."""

    # The rows decide what arrives when, not the threads.

    stored: StoredImages
    labels: Tensor
    mean: Tensor
    std: Tensor
    img_size: int

    def __len__(self) -> int:
        return len(self.labels)

    def window(self, count: int) -> DeviceImages:
        """Room on the device for `count` images, at most as many as there are, and their labels."""
        count, device = min(count, len(self)), self.labels.device
        shape = (count, self.stored.shape[1], self.img_size, self.img_size)
        return DeviceImages(
            pixels=torch.zeros(shape, dtype=torch.uint8, device=device),
            labels=torch.zeros(count, dtype=torch.int64, device=device),
            mean=self.mean,
            std=self.std,
        )

    def places(self, batches: Tensor) -> Tensor:
        """Where in the window the images of each of `batches` (n, B) will be."""
        return torch.arange(batches.shape[1], device=batches.device).expand_as(batches)

    def bring(self, batches: Iterable[Tensor], window: DeviceImages) -> Iterator[Tensor]:
        """Fills the window with the images of one of `batches` after the other, and yields their
        places there. Waits for the device once, for the rows, and where it is far behind."""
        batches = list(batches)
        rows = torch.split(torch.cat(batches).cpu(), [len(batch) for batch in batches])
        coming = iter(rows)
        device, largest = self.labels.device, max(len(batch) for batch in batches)
        shape = (largest, *self.stored.shape[1:])
        slots = [_Slot(shape, device) for _ in range(min(AHEAD, len(batches)))]
        stream = _copy_stream(device) if device.type == "cuda" else None
        places = torch.arange(largest, device=device)
        reading = deque[tuple[_Slot, Future[None]]]()
        with ThreadPoolExecutor(READERS) as pool:

            def read_next(slot: _Slot) -> None:
                if (wanted := next(coming, None)) is not None:
                    room = slot.host[: len(wanted)].numpy()
                    reading.append((slot, pool.submit(self.stored.read, wanted.numpy(), room)))

            for slot in slots:
                read_next(slot)
            for batch in batches:
                slot, read = reading.popleft()
                read.result()
                pixels = slot.on_device(len(batch), stream)
                if pixels.shape[-1] != self.img_size:
                    pixels = resize(pixels, self.img_size)
                window.pixels[: len(batch)] = pixels
                window.labels[: len(batch)] = self.labels[batch]
                slot.release()
                read_next(slot)
                yield places[: len(batch)]


@functools.cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for each GPU: torch has only a few, and hands out the same ones again."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Slot:
    """Room for one batch on the host, and on a GPU. All calls of CUDA are in one thread."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self.host = torch.empty(shape, dtype=torch.uint8, pin_memory=self._gpu)
        if self._gpu:
            self._pixels = torch.empty(shape, dtype=torch.uint8, device=device)
            self._copied, self._used = torch.cuda.Event(), torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._used.record(torch.cuda.current_stream(device))

    def on_device(self, count: int, stream: torch.cuda.Stream | None) -> Tensor:
        """The first `count` images, copied on `stream` once the device is done with those of
        before; the current stream waits for them, the host does not."""
        if stream is None:
            return self.host[:count]
        stream.wait_event(self._used)
        with torch.cuda.stream(stream):
            self._pixels[:count].copy_(self.host[:count], non_blocking=True)
            self._copied.record(stream)
        torch.cuda.current_stream(stream.device).wait_event(self._copied)
        return self._pixels[:count]

    def release(self) -> None:
        """The current stream has read the images; waits until the host may be written to again."""
        if self._gpu:
            self._used.record(torch.cuda.current_stream(self._pixels.device))
            self._copied.synchronize()


def open_split(
    images: Images,
    labels: NDArray[np.int64],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    img_size: int,
    device: torch.device,
) -> DeviceImages | StreamedImages:
    """An array in memory as `device_images` has it. Stored images as uint8 on a GPU where they
    take at most half of the memory that this process may still have there, else streamed."""
    if not isinstance(images, StoredImages):
        return device_images(images, labels, mean=mean, std=std, img_size=img_size, device=device)
    streamed = StreamedImages(
        stored=StoredImages(images.stored, images.rows),  # `kept_images` waits for theirs to go
        labels=to_tensor(labels, device),
        mean=torch.tensor(mean, device=device).view(-1, 1, 1),
        std=torch.tensor(std, device=device).view(-1, 1, 1),
        img_size=img_size,
    )
    taken = len(images) * images.shape[1] * img_size**2
    if device.type == "cuda" and taken <= RESIDENT_SHARE * _memory_left(with_index(device)):
        return moved_whole(streamed)
    return streamed


def moved_whole(split: StreamedImages) -> DeviceImages:
    """All images of the split on its device, still uint8."""
    whole, window = split.window(len(split)), split.window(_MOVED_AT_ONCE)
    whole.labels.copy_(split.labels)
    batches = torch.split(torch.arange(len(split), device=split.labels.device), _MOVED_AT_ONCE)
    for batch, places in zip(batches, split.bring(batches, window), strict=True):
        whole.pixels[batch] = window.pixels[places]
    return whole


def with_index(device: torch.device) -> torch.device:
    """`cuda` with the number of the GPU that is meant, which some functions of torch ask for."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _memory_left(device: torch.device) -> int:
    """Bytes of GPU memory that this process may still take: of its share, and of what is free."""
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    share = total
    if hasattr(torch.cuda, "get_per_process_memory_fraction"):
        share = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    return min(free + unused, share - torch.cuda.memory_allocated(device))


_kept: dict[tuple[Any, ...], tuple[weakref.ref[Any], DeviceImages | StreamedImages]] = {}


def kept_images(
    images: Images, *rest: Any, img_size: int, device: torch.device, **shape: Any
) -> DeviceImages | StreamedImages:
    """`open_split`, kept for the next training in this process as long as `images` lives."""
    key = (id(images), img_size, str(device), *map(tuple, shape.values()))
    alive, split = _kept.get(key, (None, None))
    if split is None or alive is None or alive() is not images:
        for old in [k for k, (reference, _) in _kept.items() if reference() is None]:
            del _kept[old]
        split = open_split(images, *rest, img_size=img_size, device=device, **shape)
        _kept[key] = (weakref.ref(images), split)
    return split
