"""`FullRecipe`: all of a full training but network, data and seed; and the recipes by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from space.rules import check_fields, flag, from_dict, integer, number, one_of, optional, text

if TYPE_CHECKING:
    from space import Architecture

Amp = Literal["auto", "off"]
Crop = Literal["resized", "padded"]
SMALL = 96
"""Images below that many pixels are trained by the recipe `small` unless another is asked for."""

RAND_AUGMENT = "rand-m9-mstd0.5-inc1-mmax9"
"""DeiT's policy. At a magnitude of 10 timm keeps 0 bits of a colour, which Pillow refuses."""

_SHARE = number(low=0.0, high=1.0)
_NEW_LENGTH = integer(1, 10**5)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRecipe:
    """AdamW with a linear warm-up and a cosine, both per step, on timm's augmentation.

    `learning_rate` holds for `learning_rate_batch` images a step and grows with the batch.
    `layer_decay` multiplies it by itself for each block below the head. `ema_decay` is the limit of
    timm's warm-up of it.
    Raises ValueError naming the rule and the value.
    """

    # None is off. `crop` "resized" is a random part of at least `crop_scale` of the area, "padded"
    # one shifted by up to an eighth. `aug_repeats`: how often an image comes in an epoch, of which
    # as many fewer come. Mixup and CutMix are timm's, one of them for a whole batch.
    # `cosine_weight`: of DeepViT's regularisation, over the first `cosine_pairs` neighbours;
    # `diversity`: of DiversePatch's losses; `distillation_alpha`: of a teacher's part of the loss,
    # which is soft by `distillation_temperature` and hard without one.

    epochs: Annotated[int, _NEW_LENGTH] = 300
    batch_size: Annotated[int, integer(2, 10**6)] = 1024
    learning_rate: Annotated[float, number(above=0.0, below=10.0)] = 5e-4
    learning_rate_batch: Annotated[int, integer(1, 10**6)] = 512
    min_learning_rate: Annotated[float, number(low=0.0, below=10.0)] = 1e-5
    warmup_learning_rate: Annotated[float, number(low=0.0, below=10.0)] = 1e-6
    warmup_epochs: Annotated[float, number(low=0.0, below=math.inf)] = 5.0
    weight_decay: Annotated[float, number(low=0.0, below=10.0)] = 0.05
    layer_decay: Annotated[float | None, optional(number(above=0.0, high=1.0))] = None
    clip_grad: Annotated[float | None, optional(number(above=0.0, below=math.inf))] = None
    drop_path_rate: Annotated[float, number(low=0.0, below=1.0)] = 0.1
    label_smoothing: Annotated[float, number(low=0.0, below=1.0)] = 0.1
    crop: Annotated[Crop, one_of(*get_args(Crop))] = "resized"
    crop_scale: Annotated[float, number(above=0.0, high=1.0)] = 0.08
    auto_augment: Annotated[str | None, optional(text(80))] = RAND_AUGMENT
    random_erasing: Annotated[float, _SHARE] = 0.25
    mixup: Annotated[float, number(low=0.0, below=math.inf)] = 0.8
    cutmix: Annotated[float, number(low=0.0, below=math.inf)] = 1.0
    mixup_prob: Annotated[float, _SHARE] = 1.0
    mixup_switch_prob: Annotated[float, _SHARE] = 0.5
    aug_repeats: Annotated[int, integer(1, 100)] = 1
    ema_decay: Annotated[float | None, optional(number(above=0.0, below=1.0))] = None
    cosine_weight: Annotated[float, number(low=0.0, below=math.inf)] = 0.0
    cosine_pairs: Annotated[int, integer(1, 512)] = 2
    diversity: Annotated[float, number(low=0.0, below=math.inf)] = 0.0
    distillation_alpha: Annotated[float, _SHARE] = 0.5
    distillation_temperature: Annotated[float | None, optional(number(above=0.0, high=1e3))] = None
    grad_checkpointing: Annotated[bool, flag()] = False
    amp: Annotated[Amp, one_of(*get_args(Amp))] = "auto"
    recalibration_batches: Annotated[int, integer(1, 10**4)] = 8

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate, by the batch size."""
        return self.learning_rate * self.batch_size / self.learning_rate_batch

    def changed(
        self,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        peak: float | None = None,
        **fields: Any,
    ) -> FullRecipe:
        """This recipe with what is not None; the warm-up stays within a fifth of fewer epochs.
        `peak`: the learning rate at the batch size that is then the recipe's."""
        fields = {name: value for name, value in fields.items() if value is not None}
        if epochs is not None:
            _NEW_LENGTH.check("--epochs", epochs)
            fields |= {"epochs": epochs, "warmup_epochs": min(self.warmup_epochs, epochs / 5)}
        if batch_size is not None:
            fields["batch_size"] = batch_size
        if peak is not None:
            fields |= {
                "learning_rate": peak,
                "learning_rate_batch": batch_size or self.batch_size,
            }
        return dataclasses.replace(self, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; `from_dict` gives the same recipe back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FullRecipe:
        """The recipe of a plain dict. Raises ValueError on an unknown key or impossible value."""
        return from_dict(cls, "recipe", values)


RECIPES = {
    # DeiT (arXiv 2012.12877, table 9), with its repeated augmentation and average of weights.
    "deit": FullRecipe(aug_repeats=3, ema_decay=0.99996),
    # HVT (arXiv 2103.10619, section 4.1): DeiT's with half of the weight decay.
    "hvt": FullRecipe(weight_decay=0.025, aug_repeats=3, ema_decay=0.99996),
    # DeepViT (arXiv 2103.11886, section 5.1): neither repeated nor averaged, small batches.
    "deepvit": FullRecipe(
        batch_size=256, learning_rate_batch=256, warmup_epochs=3.0, cosine_weight=0.1
    ),
    # 32 pixels: what ViTs for small datasets (arXiv 2112.13492) are trained by.
    "small": FullRecipe(
        epochs=100, batch_size=128, learning_rate=1e-3, learning_rate_batch=128,
        warmup_epochs=10.0, clip_grad=1.0, crop="padded", ema_decay=0.999,
    ),
}  # fmt: skip


def recipe_for(architecture: Architecture) -> str:
    """The name of the recipe of a network that none was asked for."""
    if architecture.img_size < SMALL:
        return "small"
    if architecture.blocks_of("reattention"):
        return "deepvit"
    return "hvt" if list(architecture.after_blocks()) else "deit"
