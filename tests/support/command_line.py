"""vit-frontier as its users run it: a process, what it prints in a file or at its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from search.commands import app as cli

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*words):
    return [sys.executable, "-m", "search", *map(str, words)]


def call(*words, timeout=600):
    return subprocess.run(
        command(*words), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def call_here(monkeypatch, capsys, *words):
    """Calls vit-frontier in this process: exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["vit-frontier", *map(str, words)])
    handlers = {
        kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
    said = capsys.readouterr()
    return code, said.out + said.err


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
