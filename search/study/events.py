"""The epochs of a training as TensorBoard shows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any


def events_of(folder: Path, *, after: int) -> Any:
    """A context that gives what writes an epoch as TensorBoard's event files. What an earlier
    process wrote beyond the epoch `after` is not shown."""
    try:
        from tensorboardX import SummaryWriter  # comes with Ray Tune
    except ImportError:
        return nullcontext(lambda report: None)
    return _Events(SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1))


class _Events:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        return self._write

    def _write(self, report: dict[str, Any]) -> None:
        for name, value in report.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, report["epoch"])
        self._writer.flush()

    def __exit__(self, *error: Any) -> None:
        self._writer.close()
