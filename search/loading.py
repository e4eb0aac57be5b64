"""The images of a search, read with a progress bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from trainers import Dataset

PLAIN_STEPS = 10  # plain lines for a whole decoding where there is no terminal


def load_with_progress(choices: Mapping[str, Any], console: Console) -> Dataset:
    """The dataset of `choices` (data, img_size, train_samples, val_samples, seed)."""
    from trainers import load_dataset

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading images", total=None, visible=False)
        said = 0

        def show(done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, visible=True)
            step = done * PLAIN_STEPS // max(total, 1)
            if not console.is_terminal and step > said:
                said = step
                console.print(f"Reading images: {done} of {total}", highlight=False)

        return load_dataset(
            choices["data"],
            data_root=choices["data_root"],
            img_size=choices["img_size"],
            train_samples=choices["train_samples"],
            val_samples=choices["val_samples"],
            seed=choices["seed"],
            progress=show,
        )
