"""The command line of `search_overhead`, whose workers write down when they train.

CLOCK_FOLDER=FOLDER python benchmarks/clocked.py search ...
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import search.cluster.worker
from search.cluster.worker import ProxyTrainable


class Clocked(ProxyTrainable):
    """Appends a line to a file of its process after every step: when it began and ended, and
    whether the trial was over."""

    def step(self) -> dict[str, Any]:
        began = time.time()
        result = super().step()
        file = Path(os.environ["CLOCK_FOLDER"]) / f"{os.getpid()}.txt"
        with file.open("a", encoding="ascii") as lines:
            lines.write(f"{began!r} {time.time()!r} {int(result.get('done', False))}\n")
        return result


if __name__ == "__main__":
    import clocked  # not as __main__, which workers cannot import

    from search.commands.app import main

    search.cluster.worker.ProxyTrainable = clocked.Clocked  # type: ignore[misc]
    main()
