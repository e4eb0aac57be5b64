"""What a lost Ray does to a search: it ends the process of a command, and raises in a program."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT

from search import ClusterLostError
from search.cluster import ending
from search.study.storage import Patience

LOST = "The head of the Ray cluster at 10.0.0.1:6379 is lost: 42 s silent"


@pytest.fixture(autouse=True)
def no_signal(monkeypatch):
    monkeypatch.setattr(ending, "SIGNAL_SECONDS", 0.0)


def lose(tell):
    """Tells of a loss in another thread, as the one that watches the head does."""
    threading.Thread(target=tell, args=(LOST,)).start()


def work(seconds=10.0):
    """What a search does, as Tune does it: errors are caught and the work goes on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def run(out, patience=None, *, elsewhere=False):
    with ending.told_of_loss(out, patience or Patience(), elsewhere=elsewhere) as tell:
        lose(tell)
        work()
        raise AssertionError("the loss was not heard")


def test_a_lost_head_raises_in_the_thread_of_the_search():
    with pytest.raises(ClusterLostError) as raised:
        run(Path("runs/r1"), elsewhere=True)
    assert str(raised.value) == (
        f"{LOST}. Nothing finished is lost; go on by: search.resume('runs/r1', address='HOST:PORT')"
    )


def test_a_search_on_this_machine_is_gone_on_with_without_an_address():
    with pytest.raises(ClusterLostError, match=r"go on by: search.resume\('runs/r1'\)$"):
        run(Path("runs/r1"))


def test_it_raises_in_a_thread_that_is_not_the_main_one():
    raised = []

    def search():
        try:
            run(Path("r"))
        except ClusterLostError as error:
            raised.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join(timeout=60)
    assert len(raised) == 1


def test_a_loss_after_ctrl_c_is_that_interruption():
    with pytest.raises(KeyboardInterrupt, match="vit-frontier resume r"):
        run(Path("r"), Patience(interrupted=lambda: True))


def test_errors_without_a_loss_are_those_they_were():
    with (
        pytest.raises(ValueError, match="no room"),
        ending.told_of_loss(Path("r"), Patience(), elsewhere=False),
    ):
        raise ValueError("no room")


def test_a_loss_told_when_the_search_is_over_raises_nothing():
    with ending.told_of_loss(Path("r"), Patience(), elsewhere=False) as tell:
        pass
    tell(LOST)
    work(0.1)


def not_back_from_ray():
    with ending.told_of_loss(Path("runs/r1"), Patience(), elsewhere=False) as tell:
        lose(tell)
        time.sleep(1)  # a call that nothing interrupts


def test_what_was_lost_is_said_where_the_search_does_not_come_back_from_ray(monkeypatch, capsys):
    monkeypatch.setattr(ending, "LEAVING_SECONDS", 0.1)
    with pytest.raises(ClusterLostError):
        not_back_from_ray()
    assert capsys.readouterr().err == (
        f"Error: {LOST}. Nothing finished is lost; go on by: search.resume('runs/r1')\n"
    )


def told_twice():
    with ending.told_of_loss(Path("r"), Patience(), elsewhere=False) as tell:
        try:
            tell(LOST)
            work()
        finally:
            tell("Ray on this machine was lost")
            work(0.1)  # what the search does on its way out


def test_two_who_tell_of_one_loss_raise_once():
    with pytest.raises(ClusterLostError, match="The head of the Ray cluster"):
        told_twice()


ENDS = [
    (True, False, "resume", 1, "Error: Ray is lost. Nothing finished is lost; go on by: "
     "vit-frontier resume r\n"),
    (False, False, "resume", 1, "Error: Ray is lost. Nothing finished is lost; go on by: "
     "vit-frontier resume r --address HOST:PORT\n"),
    (False, True, "resume", 130, "Interrupted. Nothing finished is lost; go on by: "
     "vit-frontier resume r\n"),
    (True, False, "confirm", 1, "Error: Ray is lost. Nothing finished is lost; go on by: "
     "vit-frontier confirm r\n"),
]  # fmt: skip
END = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
from search.cluster.ending import end_process
from search.study.storage import Patience

def end(here, interrupted, by):
    jobs = SimpleNamespace(
        release_all=lambda: print("released"), settings=SimpleNamespace(on_this_machine=here),
        goes_on_by=by,
    )
    display = SimpleNamespace(__exit__=lambda: None)
    end_process(Path("r"), jobs, display, Patience(interrupted=lambda: interrupted), "Ray is lost")

for number, case in enumerate(json.loads(sys.argv[1])):
    if not os.fork():  # a process for each, which has all its imports already
        for stream in (1, 2):
            name = f"{sys.argv[2]}/{number}-{stream}"
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
        end(*case)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_command_ends_with_its_exit_code_and_one_sentence(tmp_path):
    cases = json.dumps([case for *case, _, _ in ENDS])
    done = subprocess.run(
        [sys.executable, "-u", "-c", END, cases, tmp_path], cwd=ROOT, env=ENVIRONMENT,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [int(code) for code in done.stdout.split()] == [code for *_, code, _ in ENDS]
    for number, (*_, said) in enumerate(ENDS):
        assert (tmp_path / f"{number}-2").read_text() == said
        assert (tmp_path / f"{number}-1").read_text() == "released\n"
