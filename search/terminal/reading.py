"""The images of a search, read with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from trainers import Dataset

PLAIN_STEPS = 10  # plain lines for a whole decoding where there is no terminal, ...
PLAIN_SECONDS = 60.0  # ... and one at least that often


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task))


def load_with_progress(choices: Mapping[str, Any], console: Console) -> Dataset:
    """The dataset of `choices` (data, img_size, train_samples, val_samples, seed).

    Ended while images are decoded, it says how many are kept for the next time.
    """
    from trainers import load_dataset

    with counting("Reading images", console) as (task, show):
        try:
            return load_dataset(
                choices["data"],
                data_root=choices["data_root"],
                img_size=choices["img_size"],
                train_samples=choices["train_samples"],
                val_samples=choices["val_samples"],
                seed=choices["seed"],
                progress=show,
            )
        except (KeyboardInterrupt, SystemExit):
            if task.total:
                console.print(
                    f"Interrupted: {task.completed:.0f} of {task.total:.0f} images are decoded and "
                    "kept; the same command goes on from there.",
                    highlight=False,
                    soft_wrap=True,
                )
            raise


@contextmanager
def counting(what: str, console: Console) -> Iterator[tuple[Task, Callable[[int, int], None]]]:
    """A progress bar, or some plain lines where there is no terminal; its task, and what is called
    with how many of how many are done."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    number = bar.add_task(what, total=None)
    task, said, last = bar.tasks[0], 0, time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal said, last
        bar.update(number, completed=done, total=total)
        step, now = done * PLAIN_STEPS // max(total, 1), time.monotonic()
        if not console.is_terminal and (step > said or now > last + PLAIN_SECONDS):
            said, last = step, now
            console.print(f"{what}: {done} of {total}{_pace(task)}", highlight=False)

    with bar:
        yield task, show


def _rate(task: Task) -> str:
    return f"{task.speed:.0f} a second" if task.speed else ""


def _pace(task: Task) -> str:
    """', 1180 a second, 0:16:20 left' once that is known."""
    if not task.speed or task.time_remaining is None:
        return ""
    return f", {_rate(task)}, {timedelta(seconds=task.time_remaining)} left"
