"""A search whose worker or driver is killed within a long training has the records of one that was
left alone."""

import json
import subprocess
import sys

import pytest
from command_line import ENVIRONMENT, ROOT, call

from results import load_run
from search.study.jobs import seed_of

KILLS = """
import os, pathlib, signal, time
from search.cluster.quirks import ENVIRONMENT as RAY_ENVIRONMENT
os.environ.update(RAY_ENVIRONMENT)
import search.cluster.worker
DRIVER, FLAG = os.getpid(), pathlib.Path({flag!r})
class Killed(search.cluster.worker.ProxyTrainable):
    def setup(self, config, **options):
        from search.cluster import checkpoint
        checkpoint.LONG_SECONDS = checkpoint.APART_SECONDS = 0.0
        super().setup(config, **options)
    def step(self):
        result = super().step()
        if result["trial"] == 1 and result["epoch"] == 4 and not FLAG.exists():
            FLAG.touch()
            os.kill({victim}, signal.SIGKILL)
            time.sleep(60)
        return result
search.cluster.worker.ProxyTrainable = Killed
from search.commands.app import main
main()
"""


def searched(out, *words):
    return (
        *words, "--budget", "1M", "--train-samples", 128, "--no-baselines", "--workers", 1,
        "--trials", 2, "--epochs", 6, "--no-confirm", "--out", out,
    )  # fmt: skip


def numbers(run):
    """By network: seed and curve without what a clock says."""
    return {
        record.architecture: (
            record.seed,
            [(e.epoch, e.train_loss, e.val_loss, e.accuracy) for e in record.curve],
        )
        for record in run.records
    }


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["os.getpid()", "DRIVER"], ids=["worker", "driver"])
def test_a_training_within_which_a_process_was_killed_goes_on_to_the_same_numbers(
    victim, tmp_path, monkeypatch
):
    monkeypatch.setitem(ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    flag = tmp_path / "flag"
    script = KILLS.format(flag=str(flag), victim=victim)

    def run(*words):
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, words)],
            cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=1200, check=False,
        )  # fmt: skip

    out = tmp_path / "cut"
    done = run(*searched(out, "search"))
    assert flag.exists()
    if victim == "DRIVER":
        assert done.returncode == -9
        done = run("resume", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The training of trial 2 goes on after epoch 4" in done.stdout
    flag.touch()
    assert call(*searched(tmp_path / "whole", "search"), timeout=1200).returncode == 0
    cut, whole = load_run(out), load_run(tmp_path / "whole")
    assert numbers(cut) == numbers(whole)
    assert [record.seed for record in cut.records] == [seed_of(0, 0, 0), seed_of(0, 1, 0)]
    before = sum(epoch.seconds for epoch in cut.records[1].curve)
    assert cut.records[1].seconds >= before  # also that of before
    assert not list((tmp_path / "cache").rglob("trainings/*/*"))
    told = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in told if e["event"] == "epoch" and e["trial"] == 2] == [*range(1, 7)]
