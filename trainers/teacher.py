"""A teacher: a trained network that sees the images of a training as it saw its own."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.images.dataset import Dataset


class Teacher(nn.Module):
    """Logits of `model` for images that are normalised by a dataset's mean and std: they are
    normalised by the model's own and resized to `img_size` before it sees them."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        img_size: int,
        name: str = "",
    ) -> None:
        """Raises ValueError if it has other channels than the images."""
        super().__init__()
        if not len(mean) == len(std) == dataset.in_chans:
            raise ValueError(
                f"`--teacher` must take the images' {dataset.in_chans} channels, but takes "
                f"{len(mean)}: give a teacher that was trained on such images."
            )
        self.model, self.img_size, self.name = model, img_size, name
        ours, theirs = (
            torch.tensor([[m, s] for m, s in zip(*pair, strict=True)])[..., None, None]
            for pair in ((dataset.mean, dataset.std), (mean, std))
        )  # (C, 2, 1, 1) each
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", ours[:, 1] / theirs[:, 1])
        self.register_buffer("shift", (ours[:, 0] - theirs[:, 0]) / theirs[:, 1])

    @cached_property
    def flops(self) -> int:
        """Multiply-accumulates of one image. Raises ValueError on an operator that is not known."""
        from space import VisionTransformer, count_flops

        if isinstance(self.model, VisionTransformer):
            return count_flops(self.model.architecture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, as fvcore is imported
            from space.measure import measure_flops
        return measure_flops(self.model, (len(self.scale), self.img_size, self.img_size))

    def fingerprint(self) -> str:
        """16 hex digits of the network, its weights and how it sees images."""
        digest = hashlib.sha256(f"{self.model} {self.img_size}".encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def forward(self, images: Tensor) -> Tensor:
        images = torch.addcmul(self.shift, images, self.scale)
        if images.shape[-1] != self.img_size:
            size = (self.img_size, self.img_size)
            images = F.interpolate(images, size=size, mode="bicubic", antialias=True)
        logits: Tensor = self.model(images)
        return logits
