"""Proxy training: one architecture, trained briefly, validated after each epoch."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from space import Architecture, VisionTransformer, build_model, start_as_identity
from space.modules.network import drop_paths
from trainers.device.context import on_device, seeded
from trainers.device.cuda_graph import Replayed
from trainers.device.split import DeviceImages
from trainers.device.streaming import kept_images, with_index
from trainers.errors import NonFiniteLossError
from trainers.images.dataset import Dataset
from trainers.init import Donor
from trainers.lessons import Lessons, Logits
from trainers.optimizers import (
    below,
    layer_scales,
    load_moments,
    moments_of,
    optimizers_of,
)
from trainers.recipe import Recipe
from trainers.scoring import measured
from trainers.teacher import Teacher

LONGEST_GRAPHED_VALIDATION = 30_000  # images; every batch adds its kernels to the graph
EpochReport = dict[str, Any]
"""epoch (from 1), train_loss, val_loss, accuracy, seconds (of that epoch), images_per_second.
By another metric, `accuracy` is that, and `top1` the share of images that is right."""


class ProxyTraining(Iterator[EpochReport]):
    """A training under way: `next` trains and validates one epoch; `model` is the network.

    Raises NonFiniteLossError after an epoch whose loss is not finite. Draws nothing from the global
    random generators and leaves them as they were. A step works on tensors alone, which count it
    and hold its learning rate, so that a GPU replays it as one CUDA graph.
    """

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        parts: int = 1,
        graphs: bool = False,
        donor: Donor | None = None,
        teacher: Teacher | Logits | None = None,
        metric: str = "accuracy",
    ) -> None:
        recipe = recipe.for_architecture(architecture)
        self.recipe, self.seed, self.device, self.epoch = recipe, seed, device, 0
        self._metric = metric
        self.model = _initialised(architecture, recipe, seed=seed, device=device, donor=donor)
        opened = partial(
            kept_images,
            mean=dataset.mean,
            std=dataset.std,
            img_size=architecture.img_size,
            device=device,
        )
        self._train = opened(dataset.train_images, dataset.train_labels)
        self._val = opened(dataset.val_images, dataset.val_labels)
        self._augment = recipe.augmentation_of(dataset)
        self._lessons = None if teacher is None else Lessons(teacher, recipe, device)
        self._batch_size, self._parts = min(recipe.batch_size, len(self._train)), parts
        self._generator = torch.Generator(device).manual_seed(seed)
        self._amp = (
            recipe.amp == "auto"
            and device.type == "cuda"
            and torch.cuda.is_bf16_supported(including_emulation=False)
        )
        self._parameters = list(self.model.parameters())
        self._norms = _with_statistics(self.model)
        self._place_tensors()
        self._optimizers = optimizers_of(
            self.model, recipe, rate=self._rate, matrix_rate=self._matrix_rate,
            layer_rates=self._layer_rates,
        )  # fmt: skip
        if donor is not None:
            self._start_as_donor()
        self._record_graphs(graphs and device.type == "cuda")

    def _place_tensors(self) -> None:
        """What a step reads and writes besides the model, where a graph finds it again."""
        recipe, device, steps = self.recipe, self.device, self.steps_per_epoch
        self._order = torch.zeros(steps, self._batch_size, dtype=torch.int64, device=device)
        self._rows = self._order.clone()  # of the dataset, where `_order` has places in the window
        self._calibration = self._order[: recipe.recalibration_batches].clone()
        self._images = self._train.window(self._calibration.numel())
        self._steps_done = torch.zeros(1, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), device=device)  # of this epoch, summed over its steps
        peaks = (recipe.learning_rate, recipe.matrix_rate)
        self._rates = torch.tensor(
            [[recipe.learning_rate_at(step, steps_per_epoch=steps, peak=peak) for peak in peaks]
             for step in range(recipe.epochs * steps)], device=device,
        )  # fmt: skip
        self._rate, self._matrix_rate = torch.zeros(2, device=device).unbind()
        self._layer_rates: Tensor | None = None
        if recipe.layer_decay != 1.0:
            scales = layer_scales(self.model, recipe.layer_decay)
            self._layer_scales = torch.tensor(scales, device=device)
            self._layer_rates = torch.zeros_like(self._layer_scales)

    def _start_as_donor(self) -> None:
        """Has added parts give out what they get, by the statistics of a batch of images."""
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randperm(len(self._train), generator=generator)[: self._batch_size]
        with on_device(self.device):
            for places in self._train.bring(rows.to(self.device).view(1, -1), self._images):
                start_as_identity(self.model, self._images.batch(places))

    def _record_graphs(self, enabled: bool) -> None:
        # No cycle of references: a training that is over must free its memory before the next.
        me = weakref.proxy(self)
        pool = torch.cuda.graph_pool_handle() if enabled else None
        replayed = partial(Replayed, generator=self._generator, pool=pool)
        step, average = ProxyTraining._train_step, ProxyTraining._average_norms
        short = isinstance(self._val, DeviceImages) and len(self._val) <= LONGEST_GRAPHED_VALIDATION
        self._step = replayed(partial(step, me), enabled=enabled, warm_up=3)
        self._average = replayed(partial(average, me), enabled=enabled, warm_up=1)
        self._validate = replayed(
            partial(ProxyTraining._measured, me), enabled=enabled and short, warm_up=1
        )

    @property
    def steps_per_epoch(self) -> int:
        return len(self._train) // self._batch_size

    def __next__(self) -> EpochReport:
        if self.epoch == self.recipe.epochs:
            raise StopIteration
        with on_device(self.device):
            return self._next_epoch()

    def _next_epoch(self) -> EpochReport:
        started = time.perf_counter()
        with seeded(self.seed + self.epoch + 1, self.device):
            train_loss = self._train_epoch()
        images = self.steps_per_epoch * self._batch_size
        train_seconds = time.perf_counter() - started
        self._check_finite("training", train_loss)
        self._recalibrate()
        self.model.eval()
        val_loss, top1, value = self._validate().tolist()
        self._check_finite("validation", val_loss)
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "accuracy": value,
            **({} if self._metric == "accuracy" else {"top1": top1}),
            "seconds": time.perf_counter() - started,
            "images_per_second": images / train_seconds,
        }

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on besides architecture, recipe, images, seed and
        device, as named tensors on the CPU."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for place, optimizer in enumerate(self._optimizers):
            moments = moments_of(optimizer)
            tensors |= {f"optimizer{place}.{name}": value for name, value in moments.items()}
        tensors |= {"steps_done": self._steps_done, "generator": self._generator.get_state()}
        tensors["epoch"] = torch.tensor(self.epoch)
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a `state` to the same numbers. To be called before the first epoch. Raises
        KeyError, ValueError or RuntimeError if it is not one of this network and recipe."""
        self.model.load_state_dict(below("model.", state))
        for place, optimizer in enumerate(self._optimizers):
            load_moments(optimizer, below(f"optimizer{place}.", state))
        self._steps_done.copy_(state["steps_done"])
        self._generator.set_state(state["generator"])
        self.epoch = int(state["epoch"])

    def _check_finite(self, what: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"the {what} loss is {loss} in epoch {self.epoch + 1}")

    def _batches(self) -> Tensor:
        """Rows of every step of one epoch, (steps, B); the rest below a batch is left out."""
        count = self.steps_per_epoch * self._batch_size
        order = torch.randperm(len(self._train), generator=self._generator, device=self.device)
        return order[:count].view(-1, self._batch_size)

    def _train_epoch(self) -> float:
        """Mean loss of one epoch; nothing waits for the device before its end."""
        self.model.train()
        batches = self._batches()
        self._order.copy_(self._train.places(batches))
        self._rows.copy_(batches)
        self._loss.zero_()
        for _ in self._train.bring(batches, self._images):
            self._step()
        return self._loss.item() / self.steps_per_epoch

    def _train_step(self) -> None:
        self.model.zero_grad(set_to_none=True)  # a step that failed half way left some
        step = self._steps_done % self.steps_per_epoch
        split = (
            torch.tensor_split(order.index_select(0, step)[0], self._parts)
            for order in (self._order, self._rows)
        )
        for places, rows in zip(*split, strict=True):
            self._loss += self._backward(places, rows, share=len(rows) / self._batch_size)
        if self.recipe.clip_grad is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip_grad, foreach=True)
        rate, matrix_rate = self._rates.index_select(0, self._steps_done)[0]
        self._rate.copy_(rate)
        self._matrix_rate.copy_(matrix_rate)
        if self._layer_rates is not None:
            self._layer_rates.copy_(self._layer_scales * rate)
        for optimizer in self._optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self._steps_done += 1

    def _backward(self, places: Tensor, rows: Tensor, *, share: float) -> Tensor:
        """Adds the gradients of images, `share` of a batch; their part of its loss."""
        if self._augment == "none":
            images = self._images.batch(places)
        else:
            mirror = self._augment == "crop_flip"
            images = self._images.augmented_batch(places, self._generator, mirror=mirror)
        labels = self._images.labels[places]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            logits = self.model(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            if self._lessons is not None:
                loss = self._lessons.mixed(loss, logits, images, rows)
        for extra in self.model.losses():  # of parts that have one of their own
            loss = loss + extra
        if share < 1.0:
            loss = loss * share
        torch.autograd.backward(loss)
        return loss.detach()

    def _measured(self) -> Tensor:
        return measured(self.model, self._val, amp=self._amp, metric=self._metric)

    def _recalibrate(self) -> None:
        """BatchNorm statistics averaged anew over training batches: those gathered while the
        weights moved are wrong after a short training (DeepViT's authors do the same)."""
        if not self._norms:
            return
        rows = self._batches()[: len(self._calibration)].reshape(1, -1)
        self._calibration.copy_(self._train.places(rows).view_as(self._calibration))
        self.model.train()
        for module in drop_paths(self.model):
            module.eval()
        momenta = [norm.momentum for norm in self._norms]
        for _ in self._train.bring(rows, self._images):
            self._average()
        for norm, momentum in zip(self._norms, momenta, strict=True):
            norm.momentum = momentum

    @torch.no_grad()
    def _average_norms(self) -> None:
        for norm in self._norms:
            norm.reset_running_stats()
            if norm.running_var is not None:
                norm.running_var.zero_()  # beside a 1 the variance of attention maps is rounded off
        for count, rows in enumerate(self._calibration, start=1):
            for norm in self._norms:
                norm.momentum = 1 / count  # a cumulative average
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
                self.model(self._images.batch(rows))


def proxy_epochs(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    device: str | torch.device | None = None,
    parts: int = 1,
    graphs: bool = False,
    donor: Donor | None = None,
    teacher: Teacher | Logits | None = None,
    metric: str = "accuracy",
) -> ProxyTraining:
    """The training as an iterator of one plain dict per epoch; its `model` holds the weights.

    `device`: by default the GPU if there is one. `parts`: in how many pieces a batch goes through
    the network, gradients added up, which takes less memory. `graphs`: on a GPU, replay steps from
    CUDA graphs. `donor`: the pretrained network that the weights begin as. `teacher`: whose logits
    are learnt from, one that runs beside or what it gives for the training images. `metric`: one
    of `METRICS`, told as `accuracy`. Raises ValueError if the architecture does not take the
    dataset's channels and classes.
    """
    theirs = (dataset.in_chans, dataset.num_classes)
    if (architecture.in_chans, architecture.num_classes) != theirs:
        ours = (architecture.in_chans, architecture.num_classes)
        raise ValueError(
            f"The architecture's (in_chans, num_classes) must be the dataset's, but got {ours} for "
            f"{theirs} of {dataset.name}."
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = with_index(torch.device(device))
    return ProxyTraining(
        architecture, dataset, recipe,
        seed=seed, device=device, parts=parts, graphs=graphs, donor=donor, teacher=teacher,
        metric=metric,
    )  # fmt: skip


def _initialised(
    architecture: Architecture,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    donor: Donor | None,
) -> VisionTransformer:
    with seeded(seed, device):
        model = build_model(architecture, drop_path_rate=recipe.drop_path_rate)
        for name, parameter in model.named_parameters():
            if name.endswith("pos_embed"):
                nn.init.trunc_normal_(parameter, std=recipe.pos_embed_std)
        if donor is not None:
            donor.load_into(model)
    return model.to(device)


def _with_statistics(model: nn.Module) -> list[_BatchNorm]:
    """Norms that gather statistics when the model trains; not those that are frozen."""
    model.train()
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [norm for norm in norms if norm.training and norm.running_mean is not None]
