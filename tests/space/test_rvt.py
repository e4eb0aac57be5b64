"""Robust Vision Transformers, stem and network, against the released modules."""

import pytest
import torch
from torch import nn
from vectors import cases, close, follows

from space import Architecture, Shape, Stage, build_model
from space.parts import PAAS, RVT, ConvPool, DwMlp, Plain


@pytest.mark.parametrize("case", cases("rvt_stem"))
def test_the_stem_equals_the_released_one(case):
    c = case["config"]
    size = c["img_size"]
    stem = RVT(patch_size=16, dim=c["out_channels"]).build(Shape((size, size), size**2, 0, 3))
    names = {"conv": "proj.0", "norm": "proj.1", "proj": "proj.3"}

    def released(name):
        module, _, field = name.rpartition(".")
        return f"{names[module]}.{field}"

    follows(stem, case, released, forward=lambda x: stem(x).mT.view_as(case["y"]))


def test_the_stem_of_another_patch_size_has_smaller_patches_behind_the_pooling():
    torch.manual_seed(0)
    ours = RVT(patch_size=8, dim=5).build(Shape((24, 24), 576, 0, 2)).double()
    oracle = nn.Sequential(
        nn.Conv2d(2, 32, 7, 2, 2), nn.BatchNorm2d(32), nn.MaxPool2d(3, 2, 1), nn.Conv2d(32, 5, 2, 2)
    ).double()  # fmt: skip
    for mine, theirs in zip(ours.parameters(), oracle.parameters(), strict=True):
        theirs.data = mine.data
    x = torch.randn(2, 2, 24, 24, dtype=torch.float64)
    close(ours(x), oracle(x).flatten(2).mT)


def network(c):
    """The network of a released configuration, a stage for each block."""
    stages, last = [], len(c["depth"]) - 1
    for level, (depth, heads) in enumerate(zip(c["depth"], c["heads"], strict=True)):
        for block in range(depth):
            number = sum(c["depth"][:level]) + block
            stages.append(
                Stage(
                    depth=1,
                    attention=(PAAS if number < c["masked_block"] else Plain)(num_heads=heads),
                    mlp=DwMlp(ratio=c["mlp_ratio"], norm=True),
                    then=(ConvPool(),) if block == depth - 1 and level < last else (),
                )
            )
    return Architecture(
        img_size=c["image_size"],
        num_classes=c["num_classes"],
        stem=RVT(patch_size=16, dim=c["base_dims"][0] * c["heads"][0], positions=False),
        stages=tuple(stages),
        variant={"fc_norm": True},
    )


@pytest.mark.parametrize("case", cases("rvt_model"))
def test_the_network_equals_the_released_network(case):
    c = case["config"]
    model = build_model(network(c))
    names = {
        "fc_norm": "norm",
        "patch_embed.conv": "patch_embed.proj.0",
        "patch_embed.norm": "patch_embed.proj.1",
        "patch_embed.proj": "patch_embed.proj.3",
    }
    number = 0
    for level, depth in enumerate(c["depth"]):
        for block in range(depth):
            names[f"blocks.{number}"] = f"transformers.{level}.blocks.{block}"
            names[f"blocks.{number}.conv_pool"] = f"pools.{level}"
            number += 1

    def released(name):
        longest = max((n for n in names if name.startswith(f"{n}.")), key=len, default="")
        return names.get(longest, "") + name.removeprefix(longest)

    follows(model, case, released)
