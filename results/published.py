"""Pretrained models that need no search: what timm has published of some of the best for their
FLOPs."""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "timm's results at commits 0173a13 and 5c33776, read in December 2026"
# Accuracy: results/results-imagenet.csv at 0173a13; multiply-accumulates, rounded there to 10
# million: results/benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv at 5c33776; same image sizes.


class Published(NamedTuple):
    """A pretrained model: timm's name, pixels of an image, FLOPs, ImageNet top-1 accuracy as a
    fraction, and whether `--init` takes it."""

    name: str
    img_size: int
    flops: int
    accuracy: float
    is_donor: bool = False


PUBLISHED = (
    Published("tinynet_e.in1k", 106, 30_000_000, 0.59866),
    Published("tinynet_d.in1k", 152, 50_000_000, 0.66974),
    Published("tf_mobilenetv3_small_100.in1k", 224, 60_000_000, 0.67918),
    Published("tinynet_c.in1k", 184, 110_000_000, 0.71240),
    Published("ghostnet_100.in1k", 224, 150_000_000, 0.73982),
    Published("mobilenetv3_large_100.miil_in21k_ft_in1k", 224, 230_000_000, 0.77918),
    Published("levit_128.fb_dist_in1k", 224, 410_000_000, 0.78490),
    Published("levit_192.fb_dist_in1k", 224, 660_000_000, 0.79838),
    Published("levit_256.fb_dist_in1k", 224, 1_130_000_000, 0.81514),
    Published("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 224, 1_260_000_000, 0.75454, True),
    Published("levit_384.fb_dist_in1k", 224, 2_360_000_000, 0.82596),
    Published("deit3_small_patch16_224.fb_in22k_ft_in1k", 224, 4_610_000_000, 0.83074, True),
)
CUT = 4  # a donor is offered for no less than this part of its FLOPs


def best_below(budget: int) -> Published | None:
    """The most accurate of `PUBLISHED` within the budget; None if it is less than all."""
    fitting = [model for model in PUBLISHED if model.flops <= budget]
    return max(fitting, key=lambda model: model.accuracy, default=None)


def donor_for(budget: int) -> Published:
    """The most accurate one that a search may cut down to the budget, else the smallest."""
    donors = [model for model in PUBLISHED if model.is_donor]
    fitting = [model for model in donors if model.flops <= CUT * budget]
    return max(fitting, key=lambda model: model.accuracy, default=donors[0])
