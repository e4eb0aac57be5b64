"""Loss and accuracy are those of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainers import evaluate


class Means(nn.Module):
    """Logits are a linear map of the channel means; dropout must be off when it is scored."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.dropout = nn.Dropout(0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(x.mean((2, 3))))


def test_loss_and_accuracy_equal_a_plain_computation_over_several_batches() -> None:
    torch.manual_seed(0)
    rng, model = np.random.default_rng(0), Means()
    images = rng.integers(0, 256, (1100, 3, 4, 4), dtype=np.uint8)
    labels = rng.integers(0, 4, 1100)
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)
    loss, accuracy = evaluate(model, images, labels, mean=mean, std=std)
    x = (torch.from_numpy(images) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(
        std
    ).view(3, 1, 1)
    logits, y = model.eval()(x), torch.from_numpy(labels)
    assert loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == y).float().mean().item() or accuracy == pytest.approx(
        (logits.argmax(1) == y).double().mean().item()
    )


def test_images_are_resized_for_the_model() -> None:
    images, labels = np.full((2, 3, 8, 8), 255, np.uint8), np.zeros(2, np.int64)

    class Sized(Means):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[2:] == (4, 4)
            return super().forward(x)

    evaluate(Sized(), images, labels, mean=(0.5,) * 3, std=(0.5,) * 3, img_size=4)
