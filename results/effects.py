"""What the choices did: the effect of each on accuracy at fixed FLOPs, by adjusted comparison.

Choices are read off the networks: numbers of their shape, and which kinds of parts they have. Width
is none of them: at fixed FLOPs it pays for the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from results.words import USUAL_IMAGES
from space import Architecture, Part

if TYPE_CHECKING:
    from results.run import Run

Array = NDArray[np.float64]
LEVEL = 0.90  # of the intervals
DOUBT = 0.03  # with this probability at most, one of all statements of a run is wrong
MARGIN = 0.0025  # of accuracy, by which an effect must exceed that doubt to be stated
LEAST_EACH = 5  # networks that differ from the commonest value of a choice
POWERS = (1, 2, 3)  # of log FLOPs that are taken out
FREE = 8  # networks over the number of coefficients, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a choice did at fixed FLOPs, as a fraction of accuracy, to a network of the run's median
    accuracy. `doubled`: for twice as much, else for having it; `low`, `high`: with confidence
    `LEVEL`; `stated`: whether its sign is known."""

    name: str
    doubled: bool
    gain: float
    low: float
    high: float
    stated: bool

    @property
    def sentence(self) -> str:
        """The effect in words."""
        name = self.name
        what = f"Twice the {name}" if self.doubled else name[0].upper() + name[1:]
        if self.stated:
            side = "better" if self.gain > 0 else "worse"
            return f"{what}: {100 * abs(self.gain):.1f} points {side} at equal FLOPs."
        return f"{what}: with the data of this run it cannot be said whether that is better."


def effects_of(run: Run) -> list[Effect]:
    """The effects of all choices in which the complete trials differ, the largest first; none
    where the trials are too few."""
    known = [
        (record.architecture, record.flops, record.accuracy)
        for record in run.records
        if record.state == "complete" and math.isfinite(record.accuracy or math.nan)
    ]
    if not known:
        return []
    networks, flops, accuracy = zip(*known, strict=True)
    columns, costs = choices(networks), np.array(flops, float)
    return adjusted(columns, costs, np.array(accuracy, float), images=run.images or USUAL_IMAGES)


def choices(networks: Sequence[Architecture]) -> dict[str, Array]:
    """The choices in which the networks differ by name, (N,) each: log2 of a number, or 1 for
    networks that have a kind of part."""
    numbers = [_numbers(network) for network in networks]
    kinds = [_kinds(network) for network in networks]
    found = {name: [row[name] for row in numbers] for name in numbers[0]}
    for kind, name in {kind: name for row in kinds for kind, name in row.items()}.items():
        found.setdefault(name, [float(kind in row) for row in kinds])
    columns = {name: np.array(column, float) for name, column in found.items()}
    return {name: column for name, column in columns.items() if _differs(column)}


def adjusted(
    columns: Mapping[str, Array],
    flops: Array,
    accuracy: Array,
    *,
    images: int,
    weights: Array | None = None,
    typical: float | None = None,
) -> list[Effect]:
    """Least squares of the log odds of accuracy (N,) on a polynomial in log FLOPs and all columns.

    Errors hold for unequal variances (HC3). Effects are of a network of `typical` accuracy.
    """
    cost = np.log(flops) - np.log(flops).mean()
    powers = [(cost / (cost.std() or 1.0)) ** power for power in POWERS]
    design, names = _independent([np.ones(len(cost)), *powers], columns)
    degrees = len(accuracy) - design.shape[1]
    if not names or degrees < FREE:
        return []
    odds = (accuracy * images + 0.5) / (images + 1)
    gains, errors = _least_squares(design, np.log(odds / (1 - odds)), weights)
    middle = float(np.median(accuracy)) if typical is None else typical
    scale = middle * (1 - middle)  # from log odds to accuracy
    usual = float(stdtrit(degrees, 0.5 + LEVEL / 2))
    strict = float(stdtrit(degrees, 1 - DOUBT / 2 / len(names)))
    first = design.shape[1] - len(names)
    effects = [
        Effect(
            name=name,
            doubled=len(np.unique(columns[name])) > 2 or not np.isin(columns[name], (0, 1)).all(),
            gain=float(scale * gain),
            low=float(scale * (gain - usual * error)),
            high=float(scale * (gain + usual * error)),
            stated=bool(scale * (abs(gain) - strict * error) > MARGIN),
        )
        for name, gain, error in zip(names, gains[first:], errors[first:], strict=True)
    ]
    return sorted(effects, key=lambda effect: (not effect.stated, -abs(effect.gain)))


def _least_squares(design: Array, goal: Array, weights: Array | None) -> tuple[Array, Array]:
    """Coefficients and their standard errors."""
    root = np.sqrt(np.ones(len(goal)) if weights is None else weights)
    rows, goal = design * root[:, None], goal * root
    inverse = np.linalg.pinv(rows.T @ rows)
    fitted = inverse @ rows.T @ goal
    leverage = np.einsum("ij,jk,ik->i", rows, inverse, rows)
    left = (goal - rows @ fitted) / np.maximum(1 - leverage, 0.05)
    spread = inverse @ (rows.T * left**2) @ rows @ inverse
    return fitted, np.sqrt(np.diag(spread))


def _independent(given: list[Array], columns: Mapping[str, Array]) -> tuple[Array, list[str]]:
    """The design (N, D), and the columns in it: of those that say the same, the first."""
    design, names = np.stack(given, axis=1), list[str]()
    for name, column in columns.items():
        left = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
        if float(left @ left) > 1e-6 * float(column @ column):
            design, names = np.column_stack([design, column]), [*names, name]
    return design, names


def _differs(column: Array) -> bool:
    _, counts = np.unique(column, return_counts=True)
    return len(column) - int(counts.max()) >= LEAST_EACH


def _numbers(a: Architecture) -> dict[str, float]:
    """What networks of every kind have as a number; 0 where it is none of theirs."""
    first, shapes = a.stages[0], [place.shape.dim for place in a.walk()]
    told = {
        "depth": a.depth,
        "patch size": getattr(a.stem, "patch_size", 1),
        "MLP ratio": getattr(first.mlp, "ratio", 1),
        "width of a head": shapes[0] / getattr(first.attention, "num_heads", shapes[0]),
        "image size": a.img_size,
        "growth of the width": shapes[-1] / shapes[0],
    }
    numbers = {name: math.log2(value) for name, value in told.items()}
    return numbers | {"a class token": float(a.head == "token")}


def _kinds(a: Architecture) -> dict[type[Part], str]:
    """The kinds of parts in a network, and their names for people."""
    named = {type(a.stem): f"{a.stem.kind.rpartition(':')[2]} stem"}
    for place in a.walk():
        for part, _, _ in place.parts:
            if part.placement is not None:
                words = part.words() if part.mark.letter else part.kind
                named.setdefault(type(part), part.mark.words or words)
    return named
