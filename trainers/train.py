"""Full training: one network by a `FullRecipe`, an epoch at a time, that goes on bit by bit equal
after an interruption. Nothing here touches the disk; `state` and `restore` are for who does."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from numpy.typing import NDArray
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from space import Architecture, build_model
from trainers.augment import (
    AugmentedImages,
    draws,
    epoch_order,
    kept_generators,
    load_batches,
    mixing_of,
    seed_all,
)
from trainers.device.context import on_device, seeded
from trainers.device.streaming import kept_images, with_index
from trainers.device.workers import batch_of_all, place_of_worker, share_of_batch, synchronised
from trainers.errors import NonFiniteLossError
from trainers.full_recipe import FullRecipe
from trainers.images.dataset import Dataset, check_fits
from trainers.losses import (
    Heard,
    PatchTokens,
    cosine_regularisation,
    distillation,
    patch_diversity,
)
from trainers.optimizers import below, load_moments, moments_of
from trainers.scoring import evaluate, recalibrate, score

RECALIBRATED_AT_ONCE = 256  # images of a batch that BatchNorm statistics are averaged over
FullReport = dict[str, Any]
"""epoch (from 1), train_loss, val_loss, accuracy, ema_accuracy (None without one), learning_rate,
seconds (of that epoch), images_per_second."""


class FullTraining(Iterator[FullReport]):
    """A training under way: `next` trains and validates one epoch; `model` is the network, `ema`
    the average of its weights.

    Every image and every step draws from a seed of its own, so that the state is that of the
    weights. Of `world` workers, each works on its share of every batch. `on_step(done, steps)` is
    called after each. Raises NonFiniteLossError after an epoch whose loss is not finite.
    """

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        recipe: FullRecipe,
        *,
        seed: int,
        device: torch.device,
        processes: int = 0,
        teacher: nn.Module | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        """`processes` augment images; 0: this one does. `teacher`: whose logits are learnt from."""
        check_fits(architecture, dataset)
        self.architecture, self.dataset, self.recipe = architecture, dataset, recipe
        self.seed, self.device, self.epoch = seed, with_index(device), 0
        self.rank, self.world = place_of_worker()
        self._processes, self._on_step = processes, on_step
        self._batch_size = batch_of_all(recipe.batch_size, len(dataset.train_labels), self.world)
        self._amp = recipe.amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )  # fmt: skip
        self._build(teacher)
        self._images = AugmentedImages(dataset, recipe, architecture.img_size)
        self._mixup = mixing_of(recipe, dataset.num_classes)
        self._val = kept_images(
            dataset.val_images, dataset.val_labels, mean=dataset.mean, std=dataset.std,
            img_size=architecture.img_size, device=self.device,
        )  # fmt: skip

    def _build(self, teacher: nn.Module | None) -> None:
        recipe = self.recipe
        with seeded(self.seed, self.device):
            model = build_model(self.architecture, drop_path_rate=recipe.drop_path_rate)
        self.model = model.to(self.device)
        model.set_grad_checkpointing(recipe.grad_checkpointing)
        self.ema = None
        if recipe.ema_decay is not None:
            self.ema = ModelEmaV3(self.model, decay=recipe.ema_decay, use_warmup=True)
        self._teacher = None if teacher is None else teacher.to(self.device).eval()
        pairs = recipe.cosine_pairs if recipe.cosine_weight else -1
        self._heard = Heard(self.model, pairs + 1)
        prefix = self.architecture.start.prefix
        self._tokens = PatchTokens(self.model, prefix) if recipe.diversity else None
        self._optimizer = create_optimizer_v2(
            self.model, opt="adamw", lr=recipe.peak_learning_rate,
            weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay,
        )  # fmt: skip
        self._schedule, _ = create_scheduler_v2(
            self._optimizer, "cosine", num_epochs=recipe.epochs, min_lr=recipe.min_learning_rate,
            warmup_lr=recipe.warmup_learning_rate, warmup_epochs=recipe.warmup_epochs,
            step_on_epochs=False, updates_per_epoch=self.steps_per_epoch,
        )  # fmt: skip
        self._forward: nn.Module = self.model
        if self.world > 1:
            self._forward = DistributedDataParallel(synchronised(self.model, self.device))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.dataset.train_labels) // self._batch_size

    def __next__(self) -> FullReport:
        if self.epoch == self.recipe.epochs:
            raise StopIteration
        with on_device(self.device), kept_generators():
            return self._next_epoch()

    def _next_epoch(self) -> FullReport:
        started = time.perf_counter()
        train_loss = self._train_epoch()
        images = self.steps_per_epoch * self._batch_size
        rate = images / (time.perf_counter() - started)
        self._check_finite("training", train_loss)
        val_loss, accuracy = self._validate(self.model)
        self._check_finite("validation", val_loss)
        ema_accuracy = None if self.ema is None else self._validate(self.ema.module)[1]
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "accuracy": accuracy,
            "ema_accuracy": ema_accuracy,
            "learning_rate": max(group["lr"] for group in self._optimizer.param_groups),
            "seconds": time.perf_counter() - started,
            "images_per_second": rate,
        }

    def _check_finite(self, what: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"the {what} loss is {loss} in epoch {self.epoch + 1}")

    def _train_epoch(self) -> float:
        """Mean loss of one epoch over all workers."""
        rows, seeds = self._order(self.epoch, repeats=self.recipe.aug_repeats)
        mine = share_of_batch(self._batch_size, self.rank, self.world)
        batches = load_batches(
            self._images, rows[:, mine], seeds[:, mine],
            processes=self._processes, pin_memory=self.device.type == "cuda",
        )  # fmt: skip
        total = torch.zeros((), device=self.device)
        self.model.train()
        for done, (images, labels) in enumerate(batches, start=1):
            step = self.epoch * self.steps_per_epoch + done - 1
            total += self._step(step, images, labels)
            if self._on_step is not None:
                self._on_step(done, self.steps_per_epoch)
        if self.world > 1:
            dist.all_reduce(total)
        return total.item() / self.steps_per_epoch / self.world

    def _order(self, epoch: int, *, repeats: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        count = len(self.dataset.train_labels)
        return epoch_order(
            count, self._batch_size, repeats=repeats, seed=self.seed, epoch=epoch
        )  # fmt: skip

    def _step(self, step: int, images: Tensor, labels: Tensor) -> Tensor:
        seed = int(draws(self.seed, 2, step).integers(2**62))
        seed_all(seed)  # NumPy's, which mixing draws from, alike on all workers
        torch.manual_seed(seed + self.rank)
        images = images.to(self.device, non_blocking=True)
        targets = labels.to(self.device, non_blocking=True)
        if self._mixup is not None:
            images, targets = self._mixup(images, targets)
        self._schedule.step_update(step)
        self._heard.take()
        loss = self._loss(images, targets)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.recipe.clip_grad is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad)
        self._optimizer.step()
        if self.ema is not None:
            self.ema.update(self.model, step=step)
        return loss.detach()

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch; `targets` are labels (B,) or shares of classes (B, classes)."""
        recipe = self.recipe
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            logits = self._forward(images).float()
        smoothing = 0.0 if targets.is_floating_point() else recipe.label_smoothing  # mixed: it has
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        if self._teacher is not None:
            with torch.no_grad():
                theirs = self._teacher(images).float()
            alpha = recipe.distillation_alpha
            learnt = distillation(logits, theirs, temperature=recipe.distillation_temperature)
            loss = (1 - alpha) * loss + alpha * learnt
        for extra in self.model.losses():  # of parts that have one of their own
            loss = loss + extra
        if recipe.cosine_weight:
            loss = loss + recipe.cosine_weight * cosine_regularisation(self._heard.take())
        if self._tokens is not None:
            loss = loss + recipe.diversity * patch_diversity(*self._tokens.take())
        return loss

    def _validate(self, model: nn.Module) -> tuple[float, float]:
        """(mean cross-entropy, accuracy) on the validation split, BatchNorm averaged anew."""
        rows, _ = self._order(self.epoch, repeats=1)
        most = min(self._batch_size, RECALIBRATED_AT_ONCE)
        chosen = rows[: self.recipe.recalibration_batches, :most]
        recalibrate(model, self.dataset, chosen, device=self.device, amp=self._amp)
        return score(model, self._val, amp=self._amp)

    def test(self) -> dict[str, float | None]:
        """Accuracy on the test split: `test_accuracy` of the weights, `ema_test_accuracy` of their
        average."""
        data = self.dataset
        found = [
            None if model is None else evaluate(
                model, data.test_images, data.test_labels, mean=data.mean, std=data.std
            )[1]
            for model in (self.model, None if self.ema is None else self.ema.module)
        ]  # fmt: skip
        return {"test_accuracy": found[0], "ema_test_accuracy": found[1]}

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on besides recipe, images and seed, as named tensors."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.ema is not None:
            average = self.ema.module.state_dict()
            tensors |= {f"ema.{name}": value for name, value in average.items()}
        moments = moments_of(self._optimizer)
        tensors |= {f"optimizer.{name}": value for name, value in moments.items()}
        tensors["epoch"] = torch.tensor(self.epoch)
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a `state`. Raises ValueError or RuntimeError if it is not one of this
        network and recipe."""
        if "epoch" not in state or not 0 <= int(state["epoch"]) <= self.recipe.epochs:
            raise ValueError("it has no epoch, or one that the recipe does not reach")
        self.model.load_state_dict(below("model.", state))
        if self.ema is not None:
            self.ema.module.load_state_dict(below("ema.", state))
        load_moments(self._optimizer, below("optimizer.", state))
        self.epoch = int(state["epoch"])


def run_training(
    architecture: Architecture,
    dataset: Dataset,
    recipe: FullRecipe,
    *,
    seed: int,
    state: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Iterator[tuple[FullReport, dict[str, Tensor]]]:
    """The epochs of a training that are left after `state`, each report with the state after it;
    then what the test split says, with the last one. `options`: those of `FullTraining`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options.setdefault("processes", min(os.cpu_count() or 1, 16) if device.type == "cuda" else 0)
    training = FullTraining(architecture, dataset, recipe, seed=seed, device=device, **options)
    if state is not None:
        training.restore(state)
    for report in training:
        yield report, training.state()
    yield training.test(), training.state()
