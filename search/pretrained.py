"""What `--init` changes of a search: the images' mean and std, the space, what may stand beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space import SearchSpace, space_of
from space.rules import show

if TYPE_CHECKING:
    from trainers import Dataset, Donor


def refuse_beside_init(init: str | None, others: Mapping[str, Any]) -> None:
    """Raises ValueError on what a search from a pretrained network cannot have."""
    for name, value in others.items():
        if init is not None and value is not None:
            raise ValueError(
                f"`--init` (={show(init)}) must not be given beside `{name}`: the space follows "
                "from the pretrained network, and the training is ours. Leave one of them out."
            )


def donor_of(init: str | None) -> Donor | None:
    """The donor of that name; None without one. Raises ValueError."""
    if init is None:
        return None
    from trainers import read_donor

    return read_donor(init)


def as_donor_saw(dataset: Dataset, donor: Donor | None) -> Dataset:
    """The images with the mean and std of those that the donor was trained on."""
    if donor is None:
        return dataset
    mean, std = donor.statistics(dataset.in_chans)
    return dataclasses.replace(dataset, mean=mean, std=std)


def fitted_space(space: SearchSpace, dataset: Dataset, donor: Donor | None) -> SearchSpace:
    """The space for these images: that of a donor follows from it. Raises ValueError."""
    if donor is None:
        return _fitted(space, dataset)
    theirs = donor.architecture.in_chans
    if theirs not in (3, dataset.in_chans):  # timm adapts the stem of three channels alone
        raise ValueError(
            f"A pretrained network must have 3 channels or those of the images, "
            f"{dataset.in_chans}, but {donor.name} has {theirs}: choose another one."
        )
    return space_of(
        donor.architecture,
        name=Path(donor.name).name,
        img_size=dataset.img_size,
        in_chans=dataset.in_chans,
        num_classes=dataset.num_classes,
    )


def _fitted(space: SearchSpace, dataset: Dataset) -> SearchSpace:
    """The space for these images. Raises ValueError, with the size of image that it is made for."""
    try:
        return space.fit(
            img_size=dataset.img_size, in_chans=dataset.in_chans, num_classes=dataset.num_classes
        )
    except ValueError as error:
        if dataset.img_size in space.img_size:
            raise
        size = min(space.img_size, key=lambda size: abs(size - dataset.img_size))
        raise ValueError(
            f"The space {space.name!r}, made for images of {size} pixels, does not fit those of "
            f"{dataset.img_size}: give --img-size {size} or another --space ({error})"
        ) from None
