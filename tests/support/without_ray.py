"""Commands whose trainings are answered in this process by made-up results: no Ray, no training.

Run by `faults.py` with `faults.c` preloaded. Each case is a fork of a process that has imported
everything, so that one takes a second.
"""

import contextlib
import ctypes
import hashlib
import io
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import ray  # noqa: F401  before a fork, not in each

import results.write
import search.driver
from results.record import TEST_READINGS, test_accuracy_key
from search.cluster.recorder import Recorder
from search.cluster.tune import Stop
from search.cluster.worker import WEIGHTS
from search.commands import app
from search.study.errors import StorageError

FAULTS = ctypes.CDLL(None) if "faults" in os.environ.get("LD_PRELOAD", "") else None


def accuracy_of(live):
    """A made-up accuracy that is a function of the network."""
    digest = hashlib.sha256(repr(live.architecture.key()).encode()).digest()
    return round(0.2 + int.from_bytes(digest[:4]) / 2**32 / 2, 6)


def weights_of(number):
    return np.random.default_rng(number).integers(0, 256, 5000, dtype=np.uint8)


def answered(work, jobs, display, patience, order):
    """In place of `work_off`: what Ray Tune would tell the `Recorder` of each trial."""
    stop = Stop(jobs, None)
    recorder = Recorder(
        jobs, stop, weights=work.weights, batch_size=64, silence=1800.0, starting=dict,
        on_finished=_promised, on_step=lambda: None, say=display.say,
    )  # fmt: skip
    try:
        while not stop.stop_all():
            live = None
            with stop.on_failure():
                live = jobs.ask()
            if live is None:
                break
            trial = SimpleNamespace(
                config={"trial": live.trial.number}, metric_analysis={}, metric_n_steps={}
            )
            told = {
                "epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "accuracy": accuracy_of(live),
                "seconds": 0.1, "images_per_second": 10.0, "finished": True,
                WEIGHTS: weights_of(live.trial.number),
            }  # fmt: skip
            recorder.on_trial_result(1, [trial], trial, told)
            recorder.on_trial_complete(1, [trial], trial)
    finally:
        with contextlib.suppress(StorageError):
            jobs.release_all()
    if stop.failure is not None:
        raise stop.failure
    _test(jobs, work.weights)
    return False


def _promised(record):
    """A trial that is announced as finished is kept, whatever comes."""
    text = json.dumps([record.trial, record.accuracy])
    with open(os.environ["PROMISED"], "a") as file:
        print(text, file=file)
    if FAULTS is not None:
        FAULTS.faults_note(os.environ["DISK"].encode(), text.encode())


def _test(jobs, weights):
    """As `measure_test_accuracy` does."""
    known = jobs.study.user_attrs
    members = [r.trial for r in jobs.tested() if test_accuracy_key(r.trial) not in known]
    if not members:
        return
    for number in members:
        assert (weights / f"{number}.safetensors").read_bytes() == weights_of(number).tobytes()
    jobs.study.set_user_attr(TEST_READINGS, [*known.get(TEST_READINGS, []), members])
    for number in members:
        jobs.study.set_user_attr(test_accuracy_key(number), 0.5)


def run_case(case):
    """Runs one command in this process, with the fault of `case` if it has one; never returns."""
    said = os.open(case["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.environ |= {
        "XDG_CACHE_HOME": f"{case['disk']}/cache", "PROMISED": case["promised"],
        "DISK": case["disk"],
    }  # fmt: skip
    os.chdir(case["disk"])
    if FAULTS is not None:
        FAULTS.faults_below(case["disk"].encode())
        if case.get("record"):
            kept = os.open(case["record"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            FAULTS.faults_record(kept)
        FAULTS.faults_arm(case.get("at", 0), case.get("errno", 0), int(case.get("stays", False)))
    sys.argv = ["vit-frontier", *case["words"]]
    code = 0
    try:
        app.main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 99
    if FAULTS is not None:
        seen = FAULTS.faults_seen()
        FAULTS.faults_arm(0, 0, 0)
        Path(case["log"]).with_suffix(".seen").write_text(str(seen))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def warm_up(data):
    """One search in this process, so that forks have all that is imported on first use."""
    words = (
        "--img-size",
        "8",
        "--budget",
        "2M",
        "--trials",
        "2",
        "--sampler",
        "random",
        "--no-confirm",
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.environ |= {"XDG_CACHE_HOME": folder, "PROMISED": os.devnull, "DISK": folder}
        sys.argv = ["vit-frontier", "search", "--data", data, *words, "--out", f"{folder}/run"]
        with contextlib.suppress(SystemExit):
            app.main()
        sys.argv = ["vit-frontier", "resume", f"{folder}/run"]
        with contextlib.suppress(SystemExit):
            app.main()


def main(data):
    """Answers cases, one JSON a line, with their exit codes."""
    search.driver.work_off = answered
    results.write.frontier_svg = lambda *_: "<svg/>"  # drawing calls no file of the run
    results.write.frontier_png = lambda *_: b"png"
    results.write.frontier_pdf = lambda *_: b"pdf"
    results.write.render_report = lambda run, **parts: "<html></html>"
    warm_up(data)
    print("ready", flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                run_case(case)
            finally:
                os._exit(98)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
