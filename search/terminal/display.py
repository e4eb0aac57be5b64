"""What a person sees while a search runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Collection, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from results import TrialRecord
from results.words import counted, duration, format_count, index_ranges, metric_name, shape_row
from search.study.jobs import Jobs, LiveTrial
from search.terminal.pace import Pace
from search.terminal.table import fitting_table

FRONT_ROWS = 12
DRAWN_SECONDS = 0.2  # between two drawings of the panel
STOPPING = "Stopping ... (Ctrl-C again: at once)"
PLAIN_SECONDS = 30.0  # between two plain lines when nothing finishes


class Display:
    """Shows how far jobs are. `update` is cheap and may be called often."""

    def __init__(self, jobs: Jobs, console: Console, *, epochs: int | None = None) -> None:
        """`epochs`: of a whole training."""
        self.jobs, self.console, self.epochs = jobs, console, epochs
        self._metric = metric_name(jobs.settings.metric)
        self._pace = Pace(epochs=epochs)
        self._started, self._said = time.monotonic(), time.monotonic()
        self._drawn = -math.inf
        self._note = ""
        self._stopping = False
        self._echo = contextlib.ExitStack()
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
            self._echo.enter_context(_no_control_echo())
            self._live = Live(self._panel(), console=self.console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
            self._live.__exit__(None, None, None)
        self._echo.close()

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

    def stopping(self) -> None:
        """Says at once that the search stops; a signal's handler may call it at any place."""
        self._stopping = True
        if self._live is not None:  # drawn by its own thread, a quarter of a second later at most
            self._note = STOPPING
            self._live.update(Group(self._bar, Text(STOPPING, style="yellow")))
            return
        with contextlib.suppress(OSError, ValueError):  # print may be what was interrupted
            os.write(sys.stderr.fileno(), f"{STOPPING}\n".encode())

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
        self._pace.finished(record)
        on_front = any(member.trial == record.trial for member in self.jobs.front)
        mark = " *" if on_front else ""
        of = f" of {self.epochs}" if self.epochs else ""
        result = (
            f"failed: {record.error}"
            if record.state == "failed"
            else f"{record.state} at epoch {record.epochs}{of}, "
            f"{self._metric} {record.accuracy:.4f}"
        )
        if record.error_kind == "crash" and self.jobs.goes_on_by == "resume":
            result += f"; `vit-frontier retry {self.jobs.settings.out}` runs it again"
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
        if self._stopping:
            return ""
        live, limit = list(self.jobs.live.values()), self.jobs.settings.time_limit
        left = self._pace.left(live, self.jobs.remaining)
        if limit is not None:
            rest = max(0.0, limit - (time.monotonic() - self._started))
            left = rest if left is None else min(left, rest)
        return "" if left is None else f"about {duration(left)} left"

    def _panel(self) -> Group:
        self._bar.update(
            self._task,
            completed=len(self.jobs.finished),
            total=max(self.jobs.total, len(self.jobs.finished)),
        )
        lines: list[Any] = [
            self._bar,
            Text(self._counts(), style="dim"),
        ]
        for live in list(self.jobs.live.values())[:4]:
            told = f"  {self._running(live)}"
            lines.append(Text(told, style="cyan", no_wrap=True, overflow="ellipsis"))
        if self._note:
            lines.append(Text(self._note, style="yellow"))
        front = self.jobs.front
        if front:
            lines.append(front_table(front, width=self.console.width, metric=self._metric))
        return Group(*lines)

    def _running(self, live: LiveTrial) -> str:
        last = live.curve[-1] if live.curve else None
        of = f" of {self.epochs}" if self.epochs else ""
        state = (
            f"epoch {last['epoch']}{of}, {self._metric} {last['accuracy']:.4f}"
            if last
            else "starting"
        )
        name = f" ({live.baseline})" if live.baseline else ""
        passed = duration(time.monotonic() - live.began)
        size = format_count(live.flops)
        shape = shape_row(live.architecture)
        return (
            f"trial {live.trial.number}{name}: {size} FLOPs, {state}, {passed}, "
            f"{counted(live.architecture.depth, 'block')} of {shape['width']}"
        )


@contextlib.contextmanager
def _no_control_echo() -> Iterator[None]:
    """A terminal that does not write ^C, which would move the panel that is drawn anew."""
    import termios

    try:
        before = termios.tcgetattr(sys.stdin)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    silent = [*before]
    silent[3] &= ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError, termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


# Columns of the table of the frontier, in order, and how long each is kept on a narrow terminal.
_COLUMNS = {
    "trial": 8, "FLOPs": 9, "params": 3, "accuracy": 9, "test": 7, "depth": 6, "width": 5,
    "patch": 2, "Re-attention": 4, "pools": 1,
}  # fmt: skip


def front_table(
    front: list[TrialRecord],
    rows: int = FRONT_ROWS,
    unconfirmed: Collection[int] = (),
    *,
    width: int = 80,
    metric: str = "accuracy",
) -> Table:
    """The frontier as a table of at most `width` characters, the `rows` most accurate members;
    `unconfirmed` are marked; `metric`: what accuracy is. FLOPs and accuracy are the last to go."""
    title = "Frontier" if len(front) <= rows else f"Frontier (last {rows} of {len(front)})"
    cells = [_row(record, record.trial in unconfirmed, metric) for record in front[-rows:]]
    kept = {metric if name == "accuracy" else name: rank for name, rank in _COLUMNS.items()}
    return fitting_table(title, cells, kept, width=width, left=("Re-attention", "pools"))


def _row(record: TrialRecord, unconfirmed: bool, metric: str) -> dict[str, str]:
    """The cells of a member by column; an empty test accuracy is not known yet."""
    test = record.test_accuracy
    return {
        **shape_row(record.architecture),
        "trial": f"{record.trial} unconfirmed" if unconfirmed else str(record.trial),
        "FLOPs": format_count(record.flops),
        "params": format_count(record.params),
        metric: f"{record.accuracy:.4f}",
        "test": "" if test is None else f"{test:.4f}",
        "pools": index_ranges(block for block, _, _ in record.architecture.after_blocks()),
    }
