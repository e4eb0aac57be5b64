"""Faults of the system: the N-th call on a run's files fails, or what was not synced is lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT

from results import load_run

HERE = Path(__file__).parent
TRIALS = 4
ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EDQUOT)


def build(folder, name="faults"):
    """The library of a C file beside this one, to be preloaded; or skips the test."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip(f"no C compiler (cc) to build {name}.c with")
    library = folder / f"{name}.so"
    words = (compiler, "-O1", "-shared", "-fPIC", "-o", library, HERE / f"{name}.c")
    done = subprocess.run(
        [*words, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{name}.c does not compile here: {done.stderr[:200]}")
    return library


class Commands:
    """Runs commands of vit-frontier without Ray, see `without_ray.py`."""

    def __init__(self, library, folder, data):
        self.folder, self.data, self._number = folder, data, 0
        self._process = subprocess.Popen(
            [sys.executable, HERE / "without_ray.py", data], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={
                **ENVIRONMENT, "LD_PRELOAD": str(library), "FAULTS_BELOW": str(folder),
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
            },
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def place(self):
        """A folder of its own for a case."""
        self._number += 1
        place = self.folder / f"case-{self._number}"
        (place / "disk").mkdir(parents=True)
        return place

    def call(self, place, *words, **fault):
        """Exit code, what was said and how many calls there were."""
        case = {
            "disk": str(place / "disk"), "log": str(place / "said"),
            "promised": str(place / "promised"), "words": list(map(str, words)), **fault,
        }  # fmt: skip
        print(json.dumps(case), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        seen = place / "said.seen"
        calls = int(seen.read_text()) if seen.exists() else 0
        return code, (place / "said").read_text(), calls

    def search(self, place, **fault):
        return self.call(
            place, "search", "--data", self.data, "--img-size", 8, "--budget", "2M", "--trials",
            TRIALS, "--sampler", "random", "--no-confirm", "--out", run_of(place), **fault,
        )  # fmt: skip

    def go_on(self, place):
        """`resume`, or the same search again where none began."""
        run = run_of(place)
        if (run / "run.json").exists():
            return self.call(place, "resume", run)
        return self.search(place)


def run_of(place):
    """The run's folder in the folder of a case; beside it is the cache."""
    return place / "disk" / "run"


def make_images(folder):
    """Three classes of ten images."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in "abc":
        (folder / "train" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 255, (8, 8, 3), "uint8")
            Image.fromarray(pixels).save(folder / "train" / name / f"{i}.png")
    return folder


def promised(place):
    """Accuracy of each trial that was announced as finished."""
    file = place / "promised"
    return dict(map(json.loads, file.read_text().splitlines())) if file.exists() else {}


def assert_ended_well(code, said):
    """Done, or one sentence."""
    lines = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in said, said
    assert (code, len(lines)) in ((0, 0), (1, 1), (2, 1)), (code, said)


def assert_whole(place, announced=None):
    """As many trials as asked, each once, and what was announced among them."""
    run = load_run(run_of(place))
    records = {record.trial: record for record in run.records}
    assert run.finished
    assert [record.state for record in run.records] == ["complete"] * TRIALS, run.records
    assert len({record.architecture.key() for record in run.records}) == TRIALS
    for trial, accuracy in (announced or promised(place)).items():
        assert records[trial].accuracy == accuracy
    for member in run.front:
        assert (run_of(place) / "weights" / f"{member.trial}.safetensors").stat().st_size == 5000
        assert member.test_accuracy == 0.5
    assert json.loads((run_of(place) / "frontier.json").read_text())["finished"]


def fault(commands, at, error, *, stays=False):
    """One fault in one search, then going on without. An interrupted call is asked again until it
    is not (SQLite, too), so EINTR never stays."""
    stays = stays and error != errno.EINTR
    place = commands.place()
    code, said, _ = commands.search(place, at=at, errno=error, stays=stays)
    assert_ended_well(code, said)
    if code:
        again, said_again, _ = commands.go_on(place)
        assert again == 0, f"{said}\nthen {said_again}"
    assert_whole(place)
    if not stays:  # else nothing can be removed either
        assert list((run_of(place)).rglob(".*.tmp")) == []
    shutil.rmtree(place)
    return code, said
