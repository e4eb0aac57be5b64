"""`events.jsonl` of a run folder: a line for all that happens to a trial, written by the driver."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from search.logs.loggers import Logger, opened

EVENTS_FILE = "events.jsonl"
Event = dict[str, Any]
"""time, of (search or confirm), event (started, epoch, finished, stopped, failed, released), trial,
and what that event tells."""


@contextlib.contextmanager
def events_told(
    folder: Path, of: str, loggers: Sequence[str], say: Callable[[str], None]
) -> Iterator[Callable[[Event], None]]:
    """A function that adds an event to the file in `folder` and tells it to `loggers`. Nothing that
    fails there ends a search: a logger that raises is left out from then on, and `say` told."""
    with contextlib.ExitStack() as stack:
        file: Any = None
        with contextlib.suppress(OSError):
            file = stack.enter_context((folder / EVENTS_FILE).open("a", encoding="utf-8"))
        told: dict[str, Logger] = {}
        for name in loggers:
            with _left_out(name, told, say):
                told[name] = opened(name, folder, of)

        def tell(event: Event) -> None:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            line = _finite({"time": now, "of": of, **event})
            with contextlib.suppress(OSError, ValueError):  # a full disk, or already closed
                if file is not None:
                    file.write(json.dumps(line) + "\n")
                    file.flush()
            for name, logger in list(told.items()):
                with _left_out(name, told, say):
                    logger.tell(line)

        yield tell
        for name, logger in list(told.items()):
            with _left_out(name, told, say):
                logger.close()


@contextlib.contextmanager
def _left_out(name: str, told: dict[str, Logger], say: Callable[[str], None]) -> Iterator[None]:
    """What a logger raises ends nothing but its logging."""
    try:
        yield
    except Exception as error:  # network, disk, a version of its own
        told.pop(name, None)
        say(f"{name} is told nothing more: {type(error).__name__}: {' '.join(str(error).split())}")


def _finite(value: Any) -> Any:
    """Without NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_events(folder: Path) -> list[Event]:
    """The events of a run folder, the oldest first; a line that a crash cut off is left out."""
    events = []
    for line in (folder / EVENTS_FILE).read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            events.append(dict(json.loads(line)))
    return events
