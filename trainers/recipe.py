"""`Recipe`: all of a proxy training that is neither architecture nor data nor seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from space.rules import check_fields, check_keys, integer, number, one_of, optional

if TYPE_CHECKING:
    from space import Architecture
    from trainers.images.dataset import Dataset

Amp = Literal["auto", "off"]
Optimizer = Literal["adamw", "muon"]
AUGMENTS = ("auto", "none", "crop", "crop_flip")
"""Of a training image: nothing, a shift by up to an eighth, that and a mirror; auto: the data's."""

PROXIES = {"fast": 0.1, "balanced": 7 / 30, "faithful": 1.0}
"""Share of the epochs of the tuned defaults; what each is worth is in `benchmarks/README.md`."""

FEWEST_IMAGES = 16
"""That go through a network at once where memory is short."""

RATE_BY_BATCH = 2 / 3
"""With which power of the batch size the learning rate of photographs grows."""

DONOR_RATE = 0.1
"""Of the learning rate from nothing, what fine-tuning takes."""

LAYER_DECAY = 0.75
"""Of a layer's rate, what the layer below has in fine-tuning (BEiT, MAE)."""

RATE_FACTORS = 0.45, 4.0
"""How far from `learning_rate` that of a network may be: as far as it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A linear warm-up and a cosine to zero, both per step.

    `optimizer`: AdamW, or Muon with the peak rate `matrix_rate` for the matrices of the blocks and
    AdamW for the rest.
    `warmup_epochs` may be fractional. `clip_grad` bounds the norm of all gradients, None is off.
    `pos_embed_std`: positional embeddings start ten times larger than timm's 0.02, which a short
    training hardly sees beside the patches. `learning_rate` holds for networks whose blocks' widths
    have the sum `learning_rate_size`, others get `for_architecture`'s; None: for all.
    `layer_decay` multiplies the rate once more for every layer below the head; 1 is off.
    `reattention_rate` multiplies it where every block has Re-attention. `augment`: what a training
    image may become; "auto" is what the dataset says. `amp` "auto" is bf16
    autocast on a GPU that has it. `recalibration_batches`: how many training batches BatchNorm
    statistics are averaged over anew before every validation. `distillation_alpha`: a teacher's
    part of the loss, soft by `distillation_temperature` and hard without one.
    Raises ValueError naming the rule and the value.
    """

    epochs: Annotated[int, integer(1)] = 30
    batch_size: Annotated[int, integer(1)] = 64
    learning_rate: Annotated[float, number(above=0.0, below=10.0)] = 4e-3
    learning_rate_size: Annotated[float | None, optional(number(above=0.0, below=math.inf))] = None
    reattention_rate: Annotated[float, number(above=0.0, below=10.0)] = 1.0
    warmup_epochs: Annotated[float, number(low=0.0, below=math.inf)] = 3.0
    weight_decay: Annotated[float, number(low=0.0, below=10.0)] = 0.05
    label_smoothing: Annotated[float, number(low=0.0, below=1.0)] = 0.1
    clip_grad: Annotated[float | None, optional(number(above=0.0, below=math.inf))] = 1.0
    drop_path_rate: Annotated[float, number(low=0.0, below=1.0)] = 0.0
    pos_embed_std: Annotated[float, number(above=0.0, below=10.0)] = 0.2
    amp: Annotated[Amp, one_of(*get_args(Amp))] = "auto"
    recalibration_batches: Annotated[int, integer(1)] = 8
    optimizer: Annotated[Optimizer, one_of(*get_args(Optimizer))] = "adamw"
    matrix_rate: Annotated[float, number(above=0.0, below=10.0)] = 0.02
    layer_decay: Annotated[float, number(above=0.0, high=1.0)] = 1.0
    augment: Annotated[str, one_of(*AUGMENTS)] = "auto"
    distillation_alpha: Annotated[float, number(low=0.0, high=1.0)] = 0.5
    distillation_temperature: Annotated[float | None, optional(number(above=0.0, high=1e3))] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def for_dataset(
        cls,
        dataset: Dataset,
        epochs: int | None = None,
        proxy: str = "faithful",
        *,
        batch_size: int | None = None,
    ) -> Recipe:
        """The tuned defaults: 30 epochs for signs such as digits, 10 for photographs, where the
        batch grows with the number of images from 32 (up to 6,000) to 512 (46,000 and more), and
        the learning rate with it.

        `proxy` (fast, balanced or faithful) takes a share of those epochs, with a schedule of its
        own; `epochs` overrides it. `batch_size`: another one, which the learning rate of
        photographs follows. Raises ValueError on another proxy.
        """
        one_of(*PROXIES).check("proxy", proxy)
        if dataset.augmentation == "none":
            recipe = cls(learning_rate_size=256.0)
            recipe = dataclasses.replace(recipe, batch_size=batch_size or recipe.batch_size)
        else:
            tuned = 2 ** round(math.log2(max(len(dataset.train_labels), 1) / 128))
            batch_size = batch_size or min(max(tuned, 32), 512)
            recipe = cls(
                epochs=10,
                batch_size=batch_size,
                learning_rate=1e-3 * (batch_size / 32) ** RATE_BY_BATCH,
                learning_rate_size=256.0,
                reattention_rate=0.5,
                warmup_epochs=1.0,
            )
        if epochs is None:
            epochs = max(round(PROXIES[proxy] * recipe.epochs), 1)
        return dataclasses.replace(recipe, epochs=epochs, augment=dataset.augmentation)

    def for_donor(self) -> Recipe:
        """This recipe for networks that begin from pretrained weights: a tenth of the rates, half
        of the warm-up, and `LAYER_DECAY`."""
        return dataclasses.replace(
            self,
            learning_rate=DONOR_RATE * self.learning_rate,
            matrix_rate=DONOR_RATE * self.matrix_rate,
            warmup_epochs=self.warmup_epochs / 2,
            layer_decay=LAYER_DECAY,
        )

    def augmentation_of(self, dataset: Dataset) -> str:
        """What a training image of that dataset may become: one of `AUGMENTS` but auto."""
        return dataset.augmentation if self.augment == "auto" else self.augment

    def for_architecture(self, architecture: Architecture) -> Recipe:
        """This recipe with that network's learning rate, by the inverse square root of the sum of
        its blocks' widths within `RATE_FACTORS`, and by `reattention_rate` to the power of the
        share of blocks with Re-attention."""
        # Narrow and shallow networks take a higher rate, those with Re-attention a lower one.
        rate = self.learning_rate
        if self.learning_rate_size is not None:
            size = sum(place.stage.depth * place.shape.dim for place in architecture.walk())
            low, high = RATE_FACTORS
            rate *= min(max(math.sqrt(self.learning_rate_size / size), low), high)
        mixing = len(architecture.blocks_of("reattention")) / architecture.depth
        rate *= self.reattention_rate**mixing
        return dataclasses.replace(
            self, learning_rate=rate, learning_rate_size=None, reattention_rate=1.0
        )

    def learning_rate_at(
        self, step: int, *, steps_per_epoch: int, peak: float | None = None
    ) -> float:
        """The learning rate of that step, counted from 0 over all epochs; `peak`: its highest, by
        default `learning_rate`."""
        peak = self.learning_rate if peak is None else peak
        total = self.epochs * steps_per_epoch
        warmup = min(self.warmup_epochs * steps_per_epoch, total / 2)
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        done = (step - warmup) / max(total - warmup, 1)
        return peak * 0.5 * (1 + math.cos(math.pi * done))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same recipe back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a plain dict. Raises ValueError on an unknown key or impossible value."""
        check_keys("recipe", values, [field.name for field in dataclasses.fields(cls)])
        return cls(**values)


def more_parts(parts: int, batch_size: int) -> int | None:
    """In how many pieces a batch is tried next where `parts` took too much memory: twice as many,
    while each has `FEWEST_IMAGES`; then None."""
    return 2 * parts if batch_size >= 2 * parts * FEWEST_IMAGES else None
