"""What `--init` changes of a search: the images' mean and std, the space, what may stand beside."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space import SearchSpace, as_donor, space_of
from space.rules import show

if TYPE_CHECKING:
    from trainers import Dataset, Donor

HUB = ("hf-hub:", "hf_hub:", "local-dir:")


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
    if not _is_trial(init):
        from trainers import read_donor

        return read_donor(init)
    try:
        return _donor_of_trial(init)
    except ValueError as error:
        raise ValueError(f"`--init` (={show(init)}) cannot be used: {error}") from None


def kept_init(init: str | None) -> str | None:
    """The text by which a search that goes on, perhaps from elsewhere, finds its donor. Raises
    ValueError."""
    if init is None or not (os.path.exists(init) or _is_trial(init)):
        return init
    if os.path.exists(init):
        return os.path.abspath(init)
    from search.commands.trial_names import read_trial

    run, number, _ = read_trial(init, None)
    return f"{os.path.abspath(run.path)}:{number}"


def _is_trial(init: str) -> bool:
    return ":" in init and not init.startswith(HUB) and not os.path.exists(init)


def _donor_of_trial(init: str) -> Donor:
    """A member of a run's frontier, with the weights that the run kept. Raises ValueError."""
    from results.write import preprocessing
    from search.commands.trial_names import read_trial
    from trainers.init import donor_of_network

    run, number, _ = read_trial(init, None)
    record = next((record for record in run.records if record.trial == number), None)
    file, how = run.path / "weights" / f"{number}.safetensors", preprocessing(run)
    if record is None or how is None or not file.is_file():
        raise ValueError(
            "it must be a member of the frontier or a baseline, which alone keep their weights: "
            "`vit-frontier status` lists members."
        )
    a = as_donor(record.architecture)
    return donor_of_network(init, a, file, mean=how["mean"], std=how["std"])


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
