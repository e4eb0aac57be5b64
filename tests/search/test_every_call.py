"""Every call of the system on a run's files and on the cache fails once, or the power is cut there.

Trainings are answered in one process, without Ray (`without_ray.py`). At the end a search is done,
or it says one sentence, and going on finishes it: as many trials as asked, none lost that was
announced. The default tests take a few calls; `make fault-test` takes as many as two hours allow,
and goes on with what the file of FAULTS_DONE does not name.
"""

import errno
import os
import random
import shutil
import sys
import time
from pathlib import Path

import faults
import pytest
from command_line import ENVIRONMENT, call, launch
from faults import ERRORS, assert_ended_well, assert_whole, fault, run_of
from power import Disk, read_calls
from test_faults import small_search

from results import load_run

RANDOM = ("--sampler", "random", "--workers", 2)
SAMPLE = 4  # calls of the default test
SECONDS = 45 * 60  # of a test of every call
MANY = 20  # failures are enough


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    made = faults.Commands(faults.build(folder), folder, faults.make_images(folder / "data"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(commands):
    """A search without faults: how many calls it has, and what it wrote, call by call."""
    place = commands.place()
    code, said, calls = commands.search(place, record=str(place / "calls"))
    assert (code, calls > 300) == (0, True), said
    assert_whole(place)
    return place, calls


def test_a_call_that_fails_ends_in_one_sentence_and_going_on_finishes(commands, whole):
    """A few calls, spread over the search, each with another error; the last ones stay."""
    _, calls = whole
    numbers = random.Random(1).sample(range(1, calls + 1), SAMPLE)
    ends = [
        fault(commands, at, ERRORS[i % len(ERRORS)], stays=i >= SAMPLE - 2)[0]
        for i, at in enumerate(numbers)
    ]
    assert set(ends) <= {0, 1, 2}
    assert any(ends)


@pytest.mark.parametrize("strict", [True, False])
def test_what_was_announced_is_there_after_the_power_was_cut(commands, whole, strict):
    place, _ = whole
    recorded = list(read_calls(place / "calls"))
    marks = [i for i, call in enumerate(recorded) if call.kind == "A"]
    assert len(marks) == faults.TRIALS
    for at in (marks[0] + 1, len(recorded) - 3):  # one trial is announced; the report is written
        cut(commands, place, recorded[:at], strict=strict)


def cut(commands, place, recorded, *, strict):
    """The power is cut after these calls, and the search is gone on with."""
    disk = Disk(place / "disk")
    for one in recorded:
        disk.do(one)
    after = commands.place()
    disk.write(place / "disk", after / "disk", strict=strict)
    if disk.promised:
        assert (run_of(after) / "run.json").exists()
    code, said, _ = commands.go_on(after)
    if code and not disk.promised:  # nothing was lost, and it is said what to do
        assert_ended_well(code, said)
    else:
        assert code == 0, said
        assert_whole(after, disk.promised)
    shutil.rmtree(after)


def passed():
    """Names of the cases that are noted in the file of FAULTS_DONE."""
    file = Path(os.environ.get("FAULTS_DONE", os.devnull))
    return set(file.read_text().splitlines()) if file.exists() else set()


def try_each(cases, attempt):
    """Tries what has not passed yet, in an order without a pattern, so that a part of it is a fair
    sample; skips what there is no time for."""
    names = sorted(cases.keys() - passed())
    random.Random(0).shuffle(names)
    until, bad, left = time.monotonic() + SECONDS, [], len(names)
    for name in names:
        if time.monotonic() > until or len(bad) == MANY:
            break
        left -= 1
        try:
            attempt(*cases[name])
        except AssertionError as wrong:
            bad.append(f"{name}: {wrong}")
            print(bad[-1], file=sys.stderr)
            continue
        with open(os.environ.get("FAULTS_DONE", os.devnull), "a") as notes:
            print(name, file=notes)
    assert not bad, "\n\n".join(bad)
    if left:
        pytest.skip(f"{left} of {len(cases)} cases are left: call it again with FAULTS_DONE")


@pytest.mark.faults
def test_every_call_may_fail(commands, whole):
    cases = {
        f"call {at} {errno.errorcode[error]} {stays}": (at, error, stays)
        for at in range(1, whole[1] + 1)
        for error in ERRORS
        for stays in (False, True)
        if not (stays and error == errno.EINTR)
    }
    try_each(cases, lambda at, error, stays: fault(commands, at, error, stays=stays))


@pytest.mark.faults
def test_the_power_may_be_cut_after_every_call(commands, whole):
    recorded = list(read_calls(whole[0] / "calls"))
    cases = {
        f"cut {at} {strict}": (at, strict)
        for at in range(1, len(recorded) + 1)
        for strict in (True, False)
    }
    try_each(cases, lambda at, strict: cut(commands, whole[0], recorded[:at], strict=strict))


@pytest.mark.faults
@pytest.mark.parametrize("case", range(30))
def test_a_call_that_fails_in_a_whole_search_ends_in_one_sentence(case, tmp_path, monkeypatch):
    """One random call of the driver's on the files of the run."""
    if f"whole {case}" in passed():
        pytest.skip("passed before")
    library, draw = faults.build(tmp_path), random.Random(case)
    out, log = tmp_path / "run", tmp_path / "log"
    at, error = draw.randrange(1, 900), draw.choice(faults.ERRORS)
    fault = {"FAULTS_BELOW": str(out), "FAULTS_AT": str(at), "FAULTS_ERRNO": str(error)}
    for name, value in {**fault, "LD_PRELOAD": str(library)}.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    words = small_search(out, "--trials", 8, "--epochs", 3, *RANDOM)
    code = launch(log, *words).wait(timeout=900)
    for name in (*fault, "LD_PRELOAD"):
        monkeypatch.delitem(ENVIRONMENT, name)
    said = log.read_text()
    assert_ended_well(code, said)
    announced = said.count("/8] ")
    if code:
        begun = (out / "run.json").exists()
        if begun:
            assert load_run(out).count("complete") >= announced
        else:
            shutil.rmtree(out, ignore_errors=True)
        done = call("resume", out, timeout=900) if begun else call(*words, timeout=900)
        assert done.returncode == 0, f"{said}\nthen {done.stdout}{done.stderr}"
    records = load_run(out).records
    assert [record.state for record in records] == ["complete"] * 8
    assert len({record.architecture.key() for record in records}) == 8
    with open(os.environ.get("FAULTS_DONE", os.devnull), "a") as notes:
        print(f"whole {case}", file=notes)
