"""`report --watch`: the page of a run, written again whenever the run has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from results import Run, load_run
from search.study.run_folder import is_driven

LOOK_SECONDS = 5.0
IDLE_LOOKS = 2  # in a row, so that a confirmation may follow a search


def watch(
    folder: Path,
    write: Callable[[Run, bool], None],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Calls `write(run, ended)`, which writes report.html, now and whenever the run or the page has
    changed; the last time with True, once no search or confirmation holds the folder or at Ctrl-C.
    Raises ValueError if the run cannot be read, KeyboardInterrupt."""
    before, idle = "", 0
    while True:
        idle = 0 if is_driven(folder) else idle + 1  # first: what was written since is read then
        run = load_run(folder)
        if idle >= IDLE_LOOKS:
            write(run, True)
            return
        if _state(run) != before:
            write(run, False)
            before = _state(run)
        try:
            wait(LOOK_SECONDS)
        except KeyboardInterrupt:
            write(load_run(folder), True)
            raise


def _state(run: Run) -> str:
    """Different where the page must be written: another one may have been, by another command."""
    page = run.path / "report.html"
    when = page.stat().st_mtime_ns if page.exists() else 0
    return f"{when} {run!r} {run.confirmed!r}"  # texts, as NaN is not equal to itself
