"""What tests of several files ask for."""

import subprocess

import command_line
import pytest


@pytest.fixture
def start():
    """`start(log, *words)` runs vit-frontier, what it prints in `log`; what is left is ended."""
    processes = []

    def start_one(log, *words):
        processes.append(command_line.launch(log, *words))
        return processes[-1]

    yield start_one
    for process in processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
