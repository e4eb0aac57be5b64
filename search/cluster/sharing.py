"""Datasets too large to travel for nothing: read by every node from its path, else sent once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from search.cluster.nodes import ask_other_nodes
from trainers.images.decoded import is_decoded
from trainers.images.stored import StoredImages

if TYPE_CHECKING:
    from trainers import Dataset

STORE_SHARE = 0.9  # of a node's object store that images may fill


def for_workers(dataset: Dataset, say: Callable[[str], None]) -> Dataset:
    """The dataset as workers of the cluster can read it: stored images as paths where every node
    has them, else sent. Raises ValueError if they must travel and a node has no room for them."""
    # Arrays in memory travel by Ray's object store anyway. Every node has stored images on one
    # machine, or in a folder that all share; where they are sent, nodes that join later have them
    # too.
    names = [f"{split}_images" for split in ("train", "val", "test")]
    splits = {name: getattr(dataset, name) for name in names}
    stored = {name: part for name, part in splits.items() if isinstance(part, StoredImages)}
    if not stored:
        return dataset
    answers = ask_other_nodes(is_decoded, list(stored.values()))
    lacking = [node["NodeManagerAddress"] for node, answer in answers if answer is not True]
    if not lacking:
        return dataset
    size = sum(part.pixels.nbytes if _whole_file(part) else part.nbytes for part in stored.values())
    for node, _ in answers:
        room = node["Resources"].get("object_store_memory", 0.0)
        if size > STORE_SHARE * room:
            raise ValueError(
                f"Every node must have the decoded images or room for them, but node {lacking[0]} "
                f"does not have {next(iter(stored.values())).stored}, and the object store of node "
                f"{node['NodeManagerAddress']} holds {room:,.0f} bytes, where {size:,} are needed: "
                "set XDG_CACHE_HOME to a folder that all nodes share, start Ray with a larger "
                "--object-store-memory, or take --train-samples or a smaller --img-size."
            )
    say(
        f"Node {lacking[0]} does not have the decoded images: their {size / 1e9:.1f} GB travel to "
        "every node through Ray's object store."
    )
    travelling: dict[str, Any] = {name: _in_memory(part) for name, part in stored.items()}
    return dataclasses.replace(dataset, **travelling)


def _in_memory(images: StoredImages) -> StoredImages:
    """The images with an array of them: the whole file where most of it is wanted, uncopied."""
    if _whole_file(images):
        return StoredImages(images.pixels, images.rows)
    return StoredImages(images[:], np.arange(len(images)))


def _whole_file(images: StoredImages) -> bool:
    return 2 * len(images) > len(images.pixels)
