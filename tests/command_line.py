"""vit-frontier as its users run it: a process, what it prints in a file or at its end."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*words):
    return [sys.executable, "-m", "search", *map(str, words)]


def call(*words, timeout=600):
    return subprocess.run(
        command(*words), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def launch(log, *words):
    """A process that adds what it prints to the file `log`."""
    with Path(log).open("a") as stream:
        return subprocess.Popen(
            command(*words), cwd=ROOT, env=ENVIRONMENT, stdout=stream, stderr=stream
        )


def wait_for(log, text, process, seconds=300):
    deadline = time.monotonic() + seconds
    while text not in (said := Path(log).read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
