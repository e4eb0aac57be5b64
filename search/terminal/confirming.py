"""What the command line says of a confirmation: before it begins, and when it is over."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from results import Run
from results.confirmed import Confirmed, ConfirmedNetwork
from results.words import MISSING, counted, duration, format_count, percent
from search.decide.confirming import NEAR
from search.terminal.messages import interrupted_text, summary
from search.terminal.table import fitting_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from search.confirming import ConfirmPlan

_NAMES = {
    "member": "members of the frontier",
    "baseline": "baselines",
    "near": f"that may be one (probability of {NEAR:.0%} or more)",
    "control": "controls",
}


def introduce_confirm(plan: ConfirmPlan, console: Console) -> None:
    """What will be trained again, and what that costs."""
    run, options, chosen = plan.run, plan.options, plan.chosen
    roles = Counter(c.role for c in chosen)
    what = ", ".join(f"{roles[role]} {name}" for role, name in _NAMES.items() if roles[role])
    records = {record.trial: record for record in run.records}
    epochs = plan.work.recipe.epochs
    searched = sum(r.flops * r.epochs for r in run.records) or 1
    once = sum(records[c.trial].flops for c in chosen) * epochs / searched
    seconds = sum(
        (records[c.trial].seconds or 0.0) / max(records[c.trial].epochs, 1) * epochs for c in chosen
    )
    done = sum(len(n.trainings) for n in run.confirmed.networks) if run.confirmed else 0
    text = (
        f"Confirming {counted(len(chosen), 'network')} of {run.path}: {what}.\n"
        f"{len(chosen)} to {len(chosen) * options.seeds} trainings of {counted(epochs, 'epoch')}"
        f"{f', of which {done} are done' if done else ''}: {once:.3g} to "
        f"{once * options.seeds:.3g} times the compute of the search, at its pace "
        f"{duration(seconds)} to {duration(seconds * options.seeds)} of one worker."
    )
    if roles["control"] < options.controls:
        text += (
            f"\nOf {options.controls} controls there are {roles['control']}: no others are left."
        )
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def prospect_confirm() -> str:
    """What a search will confirm at its end."""
    from search.confirming import AFTER_SEARCH

    return (
        f"Then confirming {AFTER_SEARCH['top']} networks (the most accurate within three budgets, "
        "then the most probable members) and baselines by full trainings of up to "
        f"{AFTER_SEARCH['seeds']} other seeds (--no-confirm leaves it out)."
    )


def conclude_confirm(run: Run, console: Console, *, interrupted: bool, as_json: bool) -> None:
    """How it ended, what is confirmed, and where the report is."""
    if interrupted:
        text = interrupted_text(run.path, "confirm")
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if run.confirmed is not None:
        show_confirmed(run, console)
        console.print(f"Report: {run.path / 'report.html'}", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(summary(run)))


def show_confirmed(run: Run, console: Console) -> None:
    """The table of what is confirmed, why it ended, and the verdict."""
    found = run.confirmed
    if found is None:
        return
    console.print(confirmed_table(found, width=console.width))
    lines = [] if found.ended is None else [f"Ended: {found.ended}."]
    lines.append(found.verdict)
    if run.unconfirmed:
        names = ", ".join(map(str, sorted(run.unconfirmed)))
        lines.append(f"Members of the search's frontier that are not confirmed: {names}.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


# Columns, in order, and how long each is kept on a narrow terminal.
_COLUMNS = {
    "trial": 8, "FLOPs": 9, "search": 5, "mean": 9, "std": 2, "n": 3, "test": 6, "probability": 4,
    "is": 7,
}  # fmt: skip


def confirmed_table(found: Confirmed, *, width: int = 80) -> Table:
    """Every network with its confirmed mean, cheapest first, at most `width` characters wide."""
    title = "Confirmed" if found.finished else "Confirmed so far"
    cells = [_row(network) for network in found.networks]
    return fitting_table(title, cells, _COLUMNS, width=width, left=("is",))


def _row(network: ConfirmedNetwork) -> dict[str, str]:
    return {
        "trial": str(network.record.trial),
        "FLOPs": format_count(network.record.flops),
        "search": f"{network.record.accuracy:.4f}",
        "mean": _number(network.mean),
        "std": _number(network.std),
        "n": str(len(network.trainings)),
        "test": _number(network.test_accuracy),
        "probability": percent(network.probability, 0),
        "is": _words(network),
    }


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _words(network: ConfirmedNetwork) -> str:
    words = [network.record.baseline or network.role]
    words += ["confirmed"] if network.is_confirmed else []
    words += ["unconfirmed"] if network.role == "member" and not network.is_confirmed else []
    words += [f"{network.failed} failed"] if network.failed else []
    return ", ".join(words)
