"""report --watch: the page follows the run and ends with it."""

import fcntl
import os

import pytest
from command_line import call
from make_run import make_run

from results import render_report
from search.watch import IDLE_LOOKS, watch


class Driver:
    """Holds a run's lock as a search does, and does something at each look of the watcher."""

    def __init__(self, folder, *steps):
        self.folder, self.steps = folder, list(steps)
        self.lock = open(folder / ".lock", "w")  # noqa: SIM115
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def wait(self, seconds):
        (self.steps.pop(0) if self.steps else self.lock.close)()


def nothing():
    pass


def test_the_page_is_written_when_the_run_changes_and_last_when_nothing_holds_it(tmp_path):
    folder = make_run(tmp_path / "run", finished=False, running=1)
    page, written = folder / "report.html", []

    def write(run, ended):
        written.append((run.count("complete"), ended))
        page.write_text(f"{len(written)}")

    def another_page():
        page.write_text("by another command")
        os.utime(page, ns=(1, 1))

    def another_trial():
        (folder / "study.db").unlink()
        make_run(folder, complete=25, finished=False)

    driver = Driver(folder, nothing, another_trial, nothing, another_page)
    watch(folder, write, wait=driver.wait)
    assert written == [(21, False), (28, False), (28, False), (28, True)]
    assert IDLE_LOOKS == 2


def test_ctrl_c_writes_the_page_a_last_time(tmp_path):
    folder, written = make_run(tmp_path / "run", finished=False), []

    def interrupted(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(folder, lambda run, ended: written.append(ended), wait=interrupted)
    assert written == [False, True]


def test_a_page_loads_itself_again_only_where_it_is_watched(tmp_path):
    from results import load_run

    run = load_run(make_run(tmp_path / "run", complete=2, stopped=0, failed=0))
    assert 'http-equiv="refresh"' not in render_report(run)
    assert '<meta http-equiv="refresh" content="10">' in render_report(run, reload_seconds=10)


def test_several_runs_are_not_watched(tmp_path):
    done = call("report", tmp_path, tmp_path, "--watch")
    assert done.returncode == 2
    assert "`--watch` must be of one run, but got 2: give one run folder alone." in done.stderr
