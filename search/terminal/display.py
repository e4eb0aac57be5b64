"""What a person sees while a search runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from results import TrialRecord
from results.words import duration, format_count, index_ranges, shape_row
from search.study.jobs import Jobs

FRONT_ROWS = 12
DRAWN_SECONDS = 0.2  # between two drawings of the panel
PLAIN_SECONDS = 30.0  # between two plain lines when nothing finishes


class Display:
    """Shows how far jobs are. `update` is cheap and may be called often."""

    def __init__(self, jobs: Jobs, console: Console) -> None:
        self.jobs, self.console = jobs, console
        self._started, self._said = time.monotonic(), time.monotonic()
        self._done_before = len(jobs.finished)
        self._drawn = -math.inf
        self._note = ""
        self._live: Live | None = None
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
        )
        self._task = self._bar.add_task("trials", total=jobs.total)

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live = Live(self._panel(), console=self.console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
            self._live.__exit__(None, None, None)

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """What is being waited for; it replaces the last note."""
        if text != self._note and text and self._live is None:
            self.say(text)
        self._note = text
        self._drawn = -math.inf
        self.update()

    def update(self) -> None:
        if self._live is not None:
            if time.monotonic() - self._drawn > DRAWN_SECONDS:
                self._drawn = time.monotonic()
                self._live.update(self._panel())
        elif time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            self.say(self._counts())

    def finished(self, record: TrialRecord) -> None:
        """Says that a trial ended, and how."""
        self._said = time.monotonic()
        on_front = any(member.trial == record.trial for member in self.jobs.front)
        mark = " *" if on_front else ""
        result = (
            f"failed: {record.error}"
            if record.state == "failed"
            else f"{record.state} at epoch {record.epochs}, accuracy {record.accuracy:.4f}"
        )
        if self._live is None or record.state == "failed":
            done = f"[{len(self.jobs.finished)}/{self.jobs.total}]"
            size = f"{format_count(record.flops)} FLOPs"
            self.say(f"{done} {self.jobs.name_of(record)}: {size}, {result}{mark}")
        self.update()

    def _counts(self) -> str:
        jobs, counts = self.jobs, self.jobs.counts()
        parts = [
            f"{counts['complete']} complete",
            f"{counts['stopped']} stopped early" if counts["stopped"] else "",
            f"{counts['failed']} failed" if counts["failed"] else "",
            f"{len(jobs.live)} running",
            self._eta(),
            *jobs.remarks(),
        ]
        return ", ".join(part for part in parts if part)

    def _eta(self) -> str:
        done = len(self.jobs.finished) - self._done_before
        left = self.jobs.remaining + len(self.jobs.live)
        if not done or not left:
            return ""
        running = len(self.jobs.live) / 2  # the running ones are half done on average
        pace = (time.monotonic() - self._started) / (done + running)
        return f"about {duration(pace * max(left - running, 0))} left"

    def _panel(self) -> Group:
        self._bar.update(
            self._task,
            completed=len(self.jobs.finished),
            total=max(self.jobs.total, len(self.jobs.finished)),
        )
        lines: list[Any] = [
            self._bar,
            Text(self._counts(), style="dim", no_wrap=True, overflow="ellipsis"),
        ]
        for live in list(self.jobs.live.values())[:4]:
            last = live.curve[-1] if live.curve else None
            state = (
                f"epoch {last['epoch']}, accuracy {last['accuracy']:.4f}" if last else "starting"
            )
            text = f"  trial {live.trial.number}: {format_count(live.flops)} FLOPs, {state}"
            lines.append(Text(text, style="cyan"))
        if self._note:
            lines.append(Text(self._note, style="yellow"))
        front = self.jobs.front
        if front:
            lines.append(front_table(front))
        return Group(*lines)


def front_table(
    front: list[TrialRecord], rows: int = FRONT_ROWS, unconfirmed: Collection[int] = ()
) -> Table:
    """The frontier as a table, the `rows` most accurate members; `unconfirmed` are marked."""
    title = "Frontier" if len(front) <= rows else f"Frontier (last {rows} of {len(front)})"
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("trial", "FLOPs", "params", "accuracy", "depth", "width", "patch"):
        table.add_column(name, justify="right")
    table.add_column("Re-attention")
    table.add_column("pools")
    for record in front[-rows:]:
        row = shape_row(record.architecture)
        table.add_row(
            str(record.trial) + (" unconfirmed" if record.trial in unconfirmed else ""),
            format_count(record.flops),
            format_count(record.params),
            f"{record.accuracy:.4f}",
            *(row[name] for name in ("depth", "width", "patch", "Re-attention")),
            index_ranges(block for block, _, _ in record.architecture.after_blocks()),
        )
    return table
