"""How commands speak and end: where people read, and the exit code of an interruption."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130


def console_of(as_json: bool) -> Console:
    """Where people read: stdout, or stderr when stdout carries JSON."""
    from rich.console import Console

    from search.terminal.messages import LastingStream

    return Console(file=LastingStream(sys.stderr if as_json else sys.stdout))  # type: ignore[arg-type]
