"""Whole searches under chaos: as many finished trials as asked, each network once."""

import contextlib
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT, wait_for
from faults import build
from test_faults import small_search, workers

from results import load_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for workers in /proc"),
]
CALM = ("--sampler", "random", "--workers", 2)


def assert_as_asked(out, trials, states=("complete",)):
    """So many records, each of another network."""
    records = load_run(out).records
    assert len(records) == len({record.architecture.key() for record in records}) == trials
    assert {record.state for record in records} <= set(states), records
    return records


def test_workers_killed_at_random_are_records_of_their_own_trial_alone(start, tmp_path):
    out, log, draw = tmp_path / "run", tmp_path / "log", random.Random(0)
    driver = start(log, *small_search(out, "--trials", 16, "--epochs", 20, *CALM))
    wait_for(log, "[1/16]", driver)
    kills = 0
    while driver.poll() is None and kills < 6:
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(draw.choice(workers(driver)), signal.SIGKILL)
            kills += 1
        time.sleep(draw.uniform(4, 12))
    assert driver.wait(timeout=500) in (0, 1), log.read_text()
    records = assert_as_asked(out, 16, ("complete", "failed"))
    failed = [record for record in records if record.state == "failed"]
    assert all(record.error_kind == "crash" for record in failed)
    assert 0 < len(failed) <= kills


STEPPING = """
import os, sys, time
del os.environ["LD_PRELOAD"]  # the clock of the driver alone
assert time.time() - float(sys.argv.pop()) > 3600  # it is the made-up one
from search.commands.app import main
main()
"""


def test_a_wall_clock_that_steps_an_hour_back_and_a_day_on_changes_nothing(tmp_path):
    out, log, offset = tmp_path / "run", tmp_path / "log", tmp_path / "offset"

    def step(hours):
        with offset.open("r+b" if offset.exists() else "wb") as file:
            file.write(struct.pack("q", 3600 * hours))

    step(2)
    clock = {"LD_PRELOAD": str(build(tmp_path, "clock")), "CLOCK_OFFSET": str(offset)}
    words = small_search(out, "--trials", 8, "--epochs", 8, *CALM, "--silence", "30m", time.time())
    with log.open("w") as stream:
        driver = subprocess.Popen(
            [sys.executable, "-c", STEPPING, *map(str, words)], cwd=ROOT, stdout=stream,
            stderr=stream, env={**ENVIRONMENT, **clock},
        )  # fmt: skip
    wait_for(log, "[1/8]", driver)
    for hours in (1, 26, 2):
        step(hours)
        time.sleep(3)
    assert driver.wait(timeout=500) == 0, log.read_text()
    records = assert_as_asked(out, 8)
    assert all(0 <= record.seconds < 500 for record in records)


FULL = """
import os
os.environ["RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES"] = str(80 * 2**20)
import search.working
for_workers = search.working.for_workers
held = []
def fill(dataset, say):
    import numpy, ray
    held.extend(ray.put(numpy.zeros(2**20, numpy.uint8)) for _ in range(120))
    return for_workers(dataset, say)
search.working.for_workers = fill
from search.commands.app import main
main()
"""


def test_an_object_store_that_is_full_stops_nothing(tmp_path):
    out = tmp_path / "run"
    words = small_search(out, "--trials", 6, "--epochs", 2, *CALM)
    done = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, words)], cwd=ROOT, env=ENVIRONMENT,
        capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_asked(out, 6)


def test_a_disk_that_answers_late_is_no_fault(start, tmp_path):
    """Another program holds the study's lock again and again."""
    import sqlite3

    out, log = tmp_path / "run", tmp_path / "log"
    driver = start(log, *small_search(out, "--trials", 8, "--epochs", 6, *CALM))
    wait_for(log, "[1/8]", driver)
    over = threading.Event()

    def hold():
        database = sqlite3.connect(out / "study.db", timeout=30, isolation_level=None)
        while not over.wait(1.0):
            database.execute("BEGIN IMMEDIATE")
            time.sleep(2.0)
            database.execute("ROLLBACK")
        database.close()

    holder = threading.Thread(target=hold)
    holder.start()
    code = driver.wait(timeout=500)
    over.set()
    holder.join()
    assert code == 0, log.read_text()
    assert_as_asked(out, 8)
