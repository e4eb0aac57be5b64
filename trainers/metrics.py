"""What networks are compared by: the metrics, and what guessing reaches by each. No torch here."""

from __future__ import annotations

import numpy as np

from trainers.images.splits import Labels

METRICS = ("accuracy", "balanced_accuracy", "top5", "f1")
"""Share that is right; the mean over classes of that share; share of images whose class is among
the five likeliest; mean over classes of F1."""

OVER_CLASSES = ("balanced_accuracy", "f1")  # means over classes, not over images
CLASSES_OF_TOP5 = 5


def guessing(metric: str, labels: Labels, num_classes: int) -> float:
    """What the best guess without an image reaches on these labels, by that metric; always below 1,
    so that something is left to reach."""
    shares = np.sort(np.bincount(labels, minlength=num_classes))[::-1] / len(labels)
    reached = 1 / int(np.count_nonzero(shares))  # by drawing classes as often as they are
    if metric == "top5":
        reached = max(CLASSES_OF_TOP5 / num_classes, float(shares[:CLASSES_OF_TOP5].sum()))
    if metric == "accuracy":
        reached = max(1 / num_classes, float(shares[0]))
    return min(reached, 1 - 0.5 / len(labels))


def effective_images(metric: str, labels: Labels) -> int:
    """Of how many evenly spread images a binomial standard error is that of `metric`: for means
    over classes, the harmonic mean of their images times their number."""
    if metric in ("accuracy", "top5"):
        return len(labels)
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return max(1, int(len(counts) ** 2 / float((1 / counts).sum())))


def refuse_top5(metric: str, num_classes: int) -> None:
    """Raises ValueError on a metric that is always 1."""
    if metric == "top5" and num_classes <= CLASSES_OF_TOP5:
        raise ValueError(
            f"`--metric` (='top5') must have more than {CLASSES_OF_TOP5} classes, but the images "
            f"have {num_classes}: choose accuracy, balanced_accuracy or f1."
        )
