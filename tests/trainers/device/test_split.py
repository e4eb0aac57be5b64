"""Images on the device: normalised exactly, cropped and mirrored one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainers.device.split import DeviceImages, crop_flip, device_images, resize, to_tensor

CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def random_images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def split(images: np.ndarray, img_size: int | None = None) -> DeviceImages:
    labels = np.zeros(len(images), np.int64)
    size = img_size or images.shape[-1]
    return device_images(images, labels, mean=MEAN, std=STD, img_size=size, device=CPU)


def test_read_only_arrays_are_shared_without_copy_or_warning() -> None:
    images = random_images(4, 8)
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_tensor(images, CPU)
    assert tensor.data_ptr() == images.ctypes.data


def test_normalisation_is_that_of_torchvision() -> None:
    images = random_images(6, 8)
    expected = (torch.from_numpy(images) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    torch.testing.assert_close(split(images).batch(torch.tensor([4, 1])), expected[[4, 1]])


def test_images_kept_as_bytes_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = random_images(6, 8), torch.tensor([5, 0, 2])
    floats = split(images)
    monkeypatch.setattr("trainers.device.split._FLOATS_AT_MOST", 0)
    bytes_ = split(images)
    assert (floats.pixels.dtype, bytes_.pixels.dtype) == (torch.float32, torch.uint8)
    torch.testing.assert_close(floats.batch(rows), bytes_.batch(rows))
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    torch.testing.assert_close(
        floats.augmented_batch(rows, draws[0]), bytes_.augmented_batch(rows, draws[1])
    )


def test_every_crop_is_a_window_of_the_reflected_image_or_its_mirror() -> None:
    images, reach = torch.from_numpy(random_images(40, 16)), 2
    crops = crop_flip(images, torch.arange(40), generator=torch.Generator().manual_seed(0))
    padded = F.pad(images.float(), (reach,) * 4, mode="reflect").to(torch.uint8)
    seen = set()
    for image, crop in zip(padded, crops, strict=True):
        matches = [
            (y, x, mirrored)
            for y in range(2 * reach + 1)
            for x in range(2 * reach + 1)
            for mirrored in (False, True)
            if torch.equal(_window(image, y, x, mirrored), crop)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 20
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_without_mirrors_a_shift_is_all() -> None:
    ramp = torch.arange(16).expand(1, 1, 16, 16).contiguous().to(torch.uint8) * 10
    rows, draws = torch.zeros(200, dtype=torch.int64), torch.Generator().manual_seed(0)
    crops = crop_flip(ramp, rows, generator=draws, mirror=False)[:, 0, 0].int()
    assert (crops[:, 3] < crops[:, 12]).all()
    assert len(crops.unique(dim=0)) == 5


def _window(image: torch.Tensor, y: int, x: int, mirrored: bool) -> torch.Tensor:
    window = image[:, y : y + 16, x : x + 16]
    return window.flip(2) if mirrored else window


def test_shifts_are_uniform_and_half_is_mirrored() -> None:
    ramp = torch.arange(16).expand(1, 1, 16, 16).contiguous().to(torch.uint8) * 10
    rows = torch.zeros(4000, dtype=torch.int64)
    crops = crop_flip(ramp, rows, generator=torch.Generator().manual_seed(0))[:, 0, 0].int()
    mirrored = crops[:, 3] > crops[:, 12]
    assert abs(mirrored.float().mean() - 0.5) < 0.04
    shifts = torch.where(mirrored, 150 - crops[:, 8] - 80, crops[:, 8] - 80).div(10)
    counts = torch.bincount((shifts - shifts.min()).long())
    assert counts[counts > 0].min() > 4000 / 5 * 0.8


def test_rows_choose_the_images() -> None:
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 8, 8)
    crops = crop_flip(images, torch.tensor([3, 0, 3]), generator=torch.Generator())
    assert crops[:, 0, 0, 0].tolist() == [3, 0, 3]


def test_same_generator_state_draws_the_same() -> None:
    images, rows = torch.from_numpy(random_images(8, 8)), torch.arange(8)
    one, two, three = (
        crop_flip(images, rows, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_resizing_happens_once_and_keeps_flat_colours() -> None:
    images = np.full((3, 3, 16, 16), 130, np.uint8)
    resized = split(images, img_size=8)
    assert resized.pixels.shape == (3, 3, 8, 8)
    torch.testing.assert_close(
        resized.pixels[:, 0, 0, 0], torch.full((3,), (130 / 255 - 0.4) / 0.2)
    )


def test_resizing_is_pillows_bicubic() -> None:
    from PIL import Image

    image = random_images(1, 24)
    ours = resize(torch.from_numpy(image), 12)[0]
    theirs = Image.fromarray(image[0].transpose(1, 2, 0)).resize((12, 12), Image.Resampling.BICUBIC)
    difference = ours.numpy().astype(int) - np.asarray(theirs).transpose(2, 0, 1).astype(int)
    assert abs(difference).max() <= 1
