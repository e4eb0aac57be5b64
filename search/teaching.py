"""What `--teacher` changes of a search: what is told, kept, and handed to the workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.rules import show

if TYPE_CHECKING:
    from rich.console import Console

    from search.settings import SearchSettings
    from trainers import Dataset, Recipe
    from trainers.lessons import Logits
    from trainers.teacher import Teacher


def refuse_beside_teacher(teacher: str | None, train: Any) -> None:
    """Raises ValueError on a teacher of a training loop of one's own, which has none."""
    if teacher is not None and train is not None:
        raise ValueError(
            f"`--teacher` (={show(teacher)}) must not be given beside `train`: only our training "
            "learns from one. Leave one of them out."
        )


def describe_teacher(teacher: Teacher, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """What run.json says of the teacher: which one, and what it costs."""
    from trainers.lessons import runs_beside

    return {
        "name": teacher.name,
        "fingerprint": teacher.fingerprint(),
        "flops": teacher.flops,
        "beside": runs_beside(recipe, dataset),
    }


def check_same_teacher(run: Path, before: Mapping[str, Any], teacher: Teacher) -> None:
    """Raises ValueError unless `teacher` is the one that run.json (`before`) tells of."""
    known = before.get("teacher")
    if not isinstance(known, dict) or known.get("fingerprint") != teacher.fingerprint():
        raise ValueError(
            f"A run must be resumed with the teacher it began with, but {teacher.name} is another "
            f"one: restore that of {run}, or start another run."
        )


def teacher_text(
    teacher: Teacher, settings: SearchSettings, recipe: Recipe, dataset: Dataset
) -> str:
    """A line on what is learnt from it, and what it costs."""
    from results.words import format_count
    from search.terminal.messages import printable
    from trainers.lessons import runs_beside

    images, once = len(dataset.train_labels), f"{format_count(teacher.flops)} FLOPs an image"
    said = f"Every network learns from {printable(teacher.name)} ({once}), which "
    if runs_beside(recipe, dataset):
        most = format_count(settings.trials * recipe.epochs * images * teacher.flops)
        return f"{said}runs beside each training: up to {most} FLOPs, counted as of the search."
    spent = format_count(images * teacher.flops)
    return f"{said}sees the training images once: {spent} FLOPs, counted as of the search."


def lessons(
    teacher: Teacher | None, recipe: Recipe, dataset: Dataset, console: Console
) -> Teacher | Logits | None:
    """What workers learn from: the teacher, or its logits, kept beside the decoded images. Raises
    ValueError if they are not finite."""
    if teacher is None:
        return None
    from search.terminal.reading import counting
    from trainers import DataError
    from trainers.images.cache import cache_root
    from trainers.lessons import kept_logits, runs_beside

    if runs_beside(recipe, dataset):
        return teacher
    try:
        root = cache_root()
    except DataError:  # no room for a cache
        root = None
    with counting("Asking the teacher", console) as (_, show_count):
        return kept_logits(teacher, dataset, root, show_count)
