"""Real faults in real searches: workers that die, hang, or run out of memory."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import ENVIRONMENT, ROOT, wait_for

from results import load_run
from search.cluster.lost import read_error
from search.cluster.recorder import NO_MEMORY
from space import Architecture

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for workers in /proc")


def small_search(out, *words):
    """Small digit trials, two at a time."""
    return (
        "search", "--budget", "1M", "--train-samples", 128, "--no-early-stopping",
        "--no-baselines", "--proxy", "faithful", "--workers", 2, "--out", out, *words,
    )  # fmt: skip


def parent(pid):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def workers(driver):
    """Processes of Ray actors below the driver, which Ray renames as they work."""
    return processes(driver, (b"ray::ProxyTrainable", b"ray::_Inner"))


def processes(driver, names):
    """Processes below the driver whose command line starts so."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            title = (folder / "cmdline").read_bytes()
            if not title.partition(b"\0")[0].rpartition(b"/")[2].startswith(names):
                continue
            pid = ancestor = int(folder.name)
            while ancestor > 1 and ancestor != driver.pid:
                ancestor = parent(ancestor)
            if ancestor == driver.pid:
                found.append(pid)
    return sorted(found)


def worker_other_than(pids, driver, seconds=60):
    """A living worker; a new one takes seconds to start."""
    deadline = time.monotonic() + seconds
    while not (found := [pid for pid in workers(driver) if pid not in pids]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found[0]


@pytest.mark.slow
def test_killed_and_hanging_workers_are_records_and_the_search_goes_on(start, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    driver = start(log, *small_search(out, "--trials", 8, "--epochs", 12, "--silence", "30s"))
    wait_for(log, "[1/8]", driver)
    first = worker_other_than([], driver)
    os.kill(first, signal.SIGKILL)
    stuck = worker_other_than([first], driver)
    os.kill(stuck, signal.SIGSTOP)
    assert driver.wait(timeout=400) == 0, log.read_text()
    run = load_run(out)
    kinds = sorted(r.error_kind for r in run.records if r.state == "failed")
    # On a machine under load, a worker that takes 30 s to start hangs as well.
    assert kinds == ["hang"] * len(kinds)
    assert "is trained again: its worker died" in log.read_text()
    assert len(run.records) == 8
    assert run.count("complete") == 8 - len(kinds) > 0
    assert "no report for 30 s" in (out / "report.html").read_text()


def call_script(script, *words):
    """A search whose program is `script`."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


HANGS = """
import os, signal, sys
from search.cluster.quirks import ENVIRONMENT as RAY_ENVIRONMENT
os.environ.update(RAY_ENVIRONMENT)
import search.cluster.worker
class Hanging(search.cluster.worker.ProxyTrainable):
    def {method}(self, config, **options):
        if config["trial"] == {trial}:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().{method}(config, **options)
search.cluster.worker.ProxyTrainable = Hanging
from search.commands.app import main
main()
"""


@pytest.mark.slow
def test_a_worker_that_hangs_between_two_trials_is_a_record_too(tmp_path):
    """Its next trial was handed to it, but has not started yet."""
    words = small_search(
        tmp_path / "run", "--trials", 3, "--epochs", 2, "--silence", "15s", "--workers", 1
    )
    done = call_script(HANGS.format(method="reset_config", trial=1), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    states = [(r.trial, r.state, r.error_kind) for r in load_run(tmp_path / "run").records]
    assert states == [(0, "complete", None), (1, "failed", "hang"), (2, "complete", None)]


@pytest.mark.slow
def test_a_worker_that_hangs_as_it_starts_is_found_out(tmp_path):
    words = small_search(
        tmp_path / "run", "--trials", 2, "--epochs", 2, "--silence", "15s", "--workers", 1
    )
    done = call_script(HANGS.format(method="setup", trial=0), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    states = [(r.trial, r.state, r.error_kind) for r in load_run(tmp_path / "run").records]
    assert states == [(0, "failed", "hang"), (1, "complete", None)]


BREAKS_WORKERS = """
import os
words = open("/proc/self/cmdline", "rb").read().split(bytes(1))[:4]
if any(word.endswith(b"default_worker.py") for word in words) and os.path.exists({flag!r}):
    os._exit(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mended", [True, False])
def test_workers_that_cannot_start_are_no_trials_fault(mended, start, tmp_path, monkeypatch):
    """Python is broken for all workers after the first two, for a while or for good."""
    out, log, flag = tmp_path / "run", tmp_path / "log", tmp_path / "flag"
    (tmp_path / "sitecustomize.py").write_text(BREAKS_WORKERS.format(flag=str(flag)))
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "RAY_worker_register_timeout_seconds", "5")
    monkeypatch.setitem(ENVIRONMENT, "RAY_enable_worker_prestart", "0")
    monkeypatch.setitem(ENVIRONMENT, "RAY_prestart_worker_first_driver", "0")
    driver = start(log, *small_search(out, "--trials", 5, "--epochs", 12))
    wait_for(log, "[1/5]", driver)
    flag.touch()
    for pid in workers(driver):
        os.kill(pid, signal.SIGKILL)
    wait_for(log, "is trained again: no worker could start for it", driver)
    if mended:
        flag.unlink()
    assert driver.wait(timeout=300) == (0 if mended else 1)
    assert load_run(out).count("failed") == 0  # those that were killed run again
    assert len(load_run(out).records) == 5 or not mended
    assert ("Stopped: 3 workers in a row could not start (" in log.read_text()) != mended
    if not mended:
        flag.unlink()
        assert start(log, "resume", out).wait(timeout=200) == 0
        assert len(load_run(out).records) == 5


SLOW_TO_START = """
import os, sys, time
from search.cluster.quirks import ENVIRONMENT as RAY_ENVIRONMENT
os.environ.update(RAY_ENVIRONMENT)
import search.cluster.worker
first = sys.argv.pop()
class Slow(search.cluster.worker.ProxyTrainable):
    def setup(self, config, **options):
        try:
            os.mkdir(first)
        except FileExistsError:
            time.sleep(6)
        super().setup(config, **options)
search.cluster.worker.ProxyTrainable = Slow
from search.commands.app import main
main()
"""


@pytest.mark.slow
def test_a_worker_that_starts_more_slowly_than_trials_finish_takes_part(tmp_path):
    """Tune would give its trial to the other worker, which has finished one, and end it."""
    words = small_search(
        tmp_path / "run", "--trials", 40, "--epochs", 6, "--sampler", "random", tmp_path / "first"
    )
    done = call_script(SLOW_TO_START, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    records = load_run(tmp_path / "run").records
    assert (len(records), len({record.worker for record in records})) == (40, 2)


@pytest.mark.slow
def test_a_search_whose_raylet_is_killed_says_so_and_can_be_resumed(start, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    driver = start(log, *small_search(out, "--trials", 6, "--epochs", 6))
    wait_for(log, "[1/6]", driver)
    (raylet,) = processes(driver, (b"raylet",))
    os.kill(raylet, signal.SIGKILL)
    assert driver.wait(timeout=60) == 1
    said = log.read_text()
    assert "Error: Ray on this machine was lost: its raylet ended. Nothing finished is lost" in said
    assert f"vit-frontier resume {out}" in said
    before = {record.trial for record in load_run(out).records if record.state == "complete"}
    assert start(log, "resume", out).wait(timeout=120) == 0
    run = load_run(out)
    assert run.count("complete") == len(run.records) == 6
    assert before <= {record.trial for record in run.records}


CALLED = """
import sys, time
import search
try:
    search.search(budget="1M", trials=60, epochs=12, train_samples=128, early_stopping=False,
                  baselines=False, out=sys.argv[1], show=True)
except search.ClusterLostError as error:
    print(f"Raised: {error}", flush=True)
time.sleep(15)
print("The program goes on", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "why"),
    [(b"gcs_server", "The head of the Ray cluster at "), (b"raylet", "Ray on this machine was")],
)
def test_a_program_whose_search_lost_its_head_goes_on(lost, why, start, tmp_path):
    """The head counts as lost after 7 s; after 10 s, Ray would end the program."""
    out, log = tmp_path / "run", tmp_path / "log"
    environment = {**ENVIRONMENT, "RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
    with log.open("a") as stream:
        program = subprocess.Popen(
            [sys.executable, "-c", CALLED, str(out)], cwd=ROOT, env=environment,
            stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        wait_for(log, "[1/60]", program)
        (victim,) = processes(program, (lost,))
        os.kill(victim, signal.SIGKILL)
        assert program.wait(timeout=120) == 0, log.read_text()
    finally:
        program.kill()
    said = log.read_text()
    assert f"Raised: {why}" in said
    assert f"go on by: search.resume({str(out)!r})" in said
    assert said.endswith("The program goes on\n")
    before = [record.trial for record in load_run(out).records]
    assert 0 < len(before) < 60
    assert load_run(out).count("running") == 0
    assert start(log, "resume", out, "--trials", len(before) + 1).wait(timeout=200) == 0
    assert {*before} < {record.trial for record in load_run(out).records}


@pytest.mark.slow
def test_the_last_worker_killed_twice_ends_the_search_with_its_record(start, tmp_path):
    """Then nothing runs any more, and what became of the worker is still to be found out."""
    out, log = tmp_path / "run", tmp_path / "log"
    driver = start(log, *small_search(out, "--trials", 1, "--epochs", 400, "--workers", 1))
    first = worker_other_than([], driver)
    os.kill(first, signal.SIGKILL)
    wait_for(log, "is trained again: its worker died", driver)
    os.kill(worker_other_than([first], driver), signal.SIGKILL)
    assert driver.wait(timeout=90) == 1, log.read_text()
    assert [(r.state, r.error_kind) for r in load_run(out).records] == [("failed", "crash")]


@pytest.mark.slow
def test_thirty_kills_of_the_driver_lose_nothing_and_count_nothing_twice(start, tmp_path):
    out, log, draw = tmp_path / "run", tmp_path / "log", random.Random(0)
    words = small_search(out, "--trials", 40, "--epochs", 4)
    driver = start(log, *words)
    finished = {}
    for _ in range(30):
        time.sleep(draw.uniform(2, 14))
        driver.kill()
        driver.wait()
        if (out / "run.json").exists():
            records = load_run(out).records if (out / "study.db").exists() else ()
            now = {r.trial: r for r in records if r.state == "complete"}
            assert finished.items() <= now.items()
            finished = now
            driver = start(log, "resume", out)
        else:
            driver = start(log, *words)
    assert driver.wait(timeout=300) == 0, log.read_text()
    run = load_run(out)
    assert [r.state for r in run.records] == ["complete"] * 40
    assert len({r.architecture.key() for r in run.records}) == 40
    assert finished.keys() <= {r.trial for r in run.records}


ACTOR = "3f2a" * 8
TRACEBACK = f"""ray::_Inner.train() (pid=7, ip=10.0.0.1, actor_id={ACTOR}, repr=<x>)
  File "trainable.py", line 54, in step
    return self._train_one_epoch()
RuntimeError: CUDA error: an illegal access"""


@pytest.mark.parametrize(
    ("text", "reason", "actor"),
    [
        (f"The actor {ACTOR} is away: it is gone.", "The actor ... is away: it is gone.", ACTOR),
        (
            f"The actor died.\n\tclass_name: X\n\tactor_id: {ACTOR}\n\tpid: 9\nIts node died.",
            "The actor died. Its node died.",
            ACTOR,
        ),
        (TRACEBACK, "RuntimeError: CUDA error: an illegal access", None),
    ],
)
def test_what_ray_says_of_a_lost_worker_is_read(text, reason, actor, tmp_path):
    """An actor whose process may have died is asked about; one that raised lives."""
    (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at noon)\n{text}\n")
    read = read_error(SimpleNamespace(error_file=tmp_path / "error.txt"))
    assert read == (f"{text}\n", reason, actor)


BREAKS_TRAININGS = """
import json, os, sys, time
from pathlib import Path
from search.cluster.quirks import ENVIRONMENT as RAY_ENVIRONMENT
os.environ.update(RAY_ENVIRONMENT)
import search.cluster.worker
faults = json.loads(sys.argv.pop())
class Broken(search.cluster.worker.ProxyTrainable):
    def setup(self, config, **options):
        if "setup" in faults:
            raise ModuleNotFoundError("No module named 'torch'")
        super().setup(config, **options)
    def _train_one_epoch(self):
        import torch
        fault = faults.get(str(self._trial["trial"]), faults.get("*"))
        if fault == "exception":
            raise RuntimeError("a broken layer")
        if fault == "cuda":  # from then on, this process cannot use its GPU
            self.broken = True
        if getattr(self, "broken", False):
            raise RuntimeError("CUDA error: device-side assert triggered")
        if fault == "memory" or fault == "memory once" and self._parts == 1:
            torch.empty(2**50)
        network, hogs = json.dumps(self._trial["architecture"]), Path(faults.get("hogs", ""))
        if fault == "hog":
            hogs.write_text(network)
        if hogs.is_file() and hogs.read_text() == network:
            hoard = torch.ones(2**31, dtype=torch.uint8)
            time.sleep(30)
        if fault == "nan later" and self._training is not None:
            self._training.model.head.weight.data.fill_(float("nan"))
        return super()._train_one_epoch()
search.cluster.worker.ProxyTrainable = Broken
from search.commands.app import main
main()
"""


def search_that_breaks(out, faults, *words):
    """A search whose trainings of these trials break: exit code and what it said."""
    words = (*small_search(out, "--epochs", 3, *words), json.dumps(faults))
    done = call_script(BREAKS_TRAININGS, *words)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_trainings_that_break_are_records_with_their_reason_and_the_search_goes_on(tmp_path):
    faults = {0: "exception", 1: "nan later", 2: "memory once", 3: "memory"}
    code, said = search_that_breaks(tmp_path / "run", faults, "--trials", 5, "--early-stopping")
    assert (code, "Traceback" in said) == (0, False), said
    run = load_run(tmp_path / "run")
    kinds = {record.trial: record.error_kind for record in run.records}
    assert kinds == {0: "exception", 1: "nan", 2: None, 3: "out_of_memory", 4: None}
    errors = {record.trial: record.error or "" for record in run.records}
    assert errors[0] == "RuntimeError: a broken layer"
    assert "the training loss is nan in epoch 2" in errors[1]
    assert "can't allocate memory" in errors[3]
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(text in page for text in ("a broken layer", "nan in epoch 2", "allocate memory"))
    assert [len(r.curve) for r in run.records if r.trial < 4] == [0, 1, 3, 0]


@pytest.mark.slow
def test_a_process_whose_gpu_is_lost_to_it_takes_no_further_trial(tmp_path):
    code, said = search_that_breaks(tmp_path / "run", {1: "cuda"}, "--trials", 6)
    assert (code, "Traceback" in said) == (0, False), said
    failed = [r for r in load_run(tmp_path / "run").records if r.state == "failed"]
    reason = "RuntimeError: CUDA error: device-side assert triggered"
    assert [(r.trial, r.error_kind, r.error) for r in failed] == [(1, "crash", reason)]


@pytest.mark.slow
def test_workers_that_break_as_they_start_stop_the_search_with_their_reason(tmp_path):
    code, said = search_that_breaks(tmp_path / "run", {"setup": ""}, "--trials", 8)
    assert (code, "Traceback" in said) == (1, False), said
    assert "workers in a row could not start (ModuleNotFoundError: No module named 'torch')" in said
    assert load_run(tmp_path / "run").records == ()


@pytest.mark.slow
def test_a_training_that_ray_kills_for_its_memory_has_half_batches_and_then_a_record(
    tmp_path, monkeypatch
):
    """Ray may use 2.7 GB more than is used now, of which workers and driver take 1.5."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    if memory["MemAvailable"] < 5e9:
        pytest.skip("too little memory to run out of it on purpose")
    used = memory["MemTotal"] - memory["MemAvailable"] + 2.7e9
    monkeypatch.setitem(ENVIRONMENT, "RAY_memory_usage_threshold", str(used / memory["MemTotal"]))
    monkeypatch.setitem(ENVIRONMENT, "RAY_memory_monitor_refresh_ms", "200")
    out, faults = tmp_path / "run", {2: "hog", "hogs": str(tmp_path / "hogs")}
    code, said = search_that_breaks(out, faults, "--trials", 5)
    assert (code, "Traceback" in said) == (0, False), said
    assert "trial 2 is trained again: its worker was killed as memory ran low; now half" in said
    (failed,) = (record for record in load_run(out).records if record.state == "failed")
    assert (failed.error_kind, failed.error) == ("out_of_memory", NO_MEMORY)
    assert failed.architecture == Architecture.from_dict(
        json.loads((tmp_path / "hogs").read_text())
    )
    assert load_run(out).count("complete") == 4


@pytest.mark.slow
def test_trainings_that_all_break_stop_the_search_and_retry_trains_them(start, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    code, said = search_that_breaks(out, {"*": "exception"}, "--trials", 8)
    assert code == 1, said
    assert "Stopped: 5 trials in a row failed alike: RuntimeError: a broken layer" in said
    assert load_run(out).count("failed") == len(load_run(out).records) == 5
    assert start(log, "retry", out).wait(timeout=200) == 0, log.read_text()
    run = load_run(out)
    assert run.count("complete") == len(run.records) == 8
    assert len({record.architecture.key() for record in run.records}) == 8


LITTLE_MEMORY = """
import resource
from search.cluster.worker import ProxyTrainable
from trainers import Recipe, load_dataset
data = load_dataset("digits", train_samples=64)
values = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "num_heads": 1}
def config(trial, dim):
    return {"trial": trial, "seed": 0, "architecture": {**values, "embed_dim": dim, "depth": 4}}
worker = ProxyTrainable.__new__(ProxyTrainable)
worker.setup(config(0, 8), dataset=data, recipe=Recipe(epochs=1))
print(worker.step()["finished"])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
worker.reset_config(config(1, 8192))
print(worker.step()["started_anew"])
print(worker.step()["started_anew"])
print(worker.step()["failed"])
worker.reset_config(config(2, 8))
print(worker.step()["finished"])
"""


@pytest.mark.slow
def test_out_of_memory_is_tried_with_smaller_batches_and_then_recorded():
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = done.stdout.split("\n")
    assert said[0] == "True", done.stderr
    assert "half batches" in said[1]
    assert "batches in 4 parts" in said[2]
    assert said[3:5] == ["out_of_memory", "True"]
