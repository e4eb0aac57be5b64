"""Storage that fails for real: full and read-only disks, removed folders, lost databases."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import partial
from pathlib import Path

import hosts
import pytest
from command_line import ENVIRONMENT, ROOT, call, call_here, command, wait_for
from make_run import make_run
from optuna.trial import TrialState

from results import load_run
from results.words import hide_password
from search.settings import SearchSettings
from search.study.errors import StorageError
from search.study.ledger import Ledger
from search.study.patience import Patience
from search.study.run_folder import new_run
from search.study.storage import absolute_url, open_study, refuse_existing_study
from space import SearchSpace

DIGITS = SearchSpace.load("digits")
TRIALS = 8


def mount(*words):
    """Mounts, or skips the test."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    """Takes what room is left; giving it back is removing the file."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


@pytest.fixture
def read_only():
    """Makes a folder read-only, also for root."""
    mounted = []

    def make(folder):
        mount("--bind", folder, folder)
        mounted.append(folder)
        mount("-o", "remount,ro,bind", folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def few_trials(folder, **changes):
    """A run of three complete trials, made without training."""
    none = dict.fromkeys("stopped failed over_budget duplicate baselines".split(), 0)
    return make_run(folder, complete=3, **{**none, **changes})


def settings(**changes):
    return SearchSettings(
        **{"budget": 2_000_000, "space": DIGITS, "trials": TRIALS, "sampler": "random", **changes}
    )


def epoch(accuracy):
    return {
        "epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "accuracy": accuracy, "seconds": 0.1,
        "images_per_second": 10.0,
    }  # fmt: skip


def train(ledger, trials=TRIALS):
    """Has the ledger finish so many trials."""
    while len(ledger.finished) < trials and (live := ledger.ask()) is not None:
        ledger.report(live.trial.number, epoch(0.1 + 0.01 * live.trial.number))
        ledger.complete(live.trial.number)
    return ledger


def assert_whole(study_or_run, trials=TRIALS):
    """The asked number of trials, each network once, nothing left running."""
    records = study_or_run.finished if isinstance(study_or_run, Ledger) else study_or_run.records
    assert [record.state for record in records] == ["complete"] * trials
    assert len({record.architecture.key() for record in records}) == trials


def unfinished(study):
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))


# ---- files -------------------------------------------------------------------------------------


def test_a_trial_that_the_storage_lost_is_named_and_trained_again(tmp_path):
    """As when a standby takes over that lacks the last commits."""
    out = few_trials(tmp_path / "run")
    ledger = Ledger(open_study(out, "digits-2M", None), settings())
    live = ledger.ask()
    ledger.report(live.trial.number, epoch(0.5))
    with contextlib.closing(sqlite3.connect(out / "study.db")) as database:
        row = "SELECT trial_id FROM trials WHERE number = ?"
        for table in ("trial_params", "trial_user_attributes", "trial_system_attributes", "trials"):
            database.execute(f"DELETE FROM {table} WHERE trial_id = ({row})", (live.trial.number,))
        database.commit()
    with pytest.raises(StorageError, match=rf"lacks trial {live.trial.number}, .* resume /"):
        ledger.complete(live.trial.number)
    assert_whole(train(Ledger(open_study(out, "digits-2M", None), settings())))


def test_a_full_disk_is_named_and_the_study_goes_on_when_there_is_room(small_disk):
    out = few_trials(small_disk / "run")
    ledger = Ledger(open_study(out, "digits-2M", None), settings())
    live = ledger.ask()
    ledger.report(live.trial.number, epoch(0.5) | {"note": "x" * 500_000})
    filler = fill(small_disk)
    with pytest.raises(
        StorageError, match=r"full .*make room there, .* vit-frontier resume /"
    ) as e:
        ledger.complete(live.trial.number)
    assert str(out) in str(e.value)
    with pytest.raises(StorageError, match="is full"):
        ledger.ask()
    assert load_run(out).count("complete") == 3
    filler.unlink()
    integrity = sqlite3.connect(out / "study.db").execute("PRAGMA integrity_check").fetchall()
    assert integrity == [("ok",)]
    again = train(Ledger(open_study(out, "digits-2M", None), settings()))
    assert_whole(again)
    assert live.architecture in [record.architecture for record in again.finished]
    assert unfinished(again.study) == []


@pytest.mark.parametrize("command", ["retry", pytest.param("report", marks=pytest.mark.slow)])
def test_a_read_only_run_folder_is_shown_and_what_writes_says_so(
    command, tmp_path, read_only, monkeypatch, capsys
):
    out = few_trials(tmp_path / "run", failed=1)
    read_only(out)
    code, said = call_here(monkeypatch, capsys, "status", out)
    assert (code, "3 complete" in said) == (0, True)
    code, said = call_here(monkeypatch, capsys, command, out)
    assert code == 1, said
    assert "Read-only file system" in said
    assert f"vit-frontier {command.replace('retry', 'resume')} {out}" in said


def test_a_study_that_is_read_only_is_named(tmp_path, read_only):
    out = few_trials(tmp_path / "run")
    read_only(out)
    with pytest.raises(StorageError, match=r"cannot be written \(attempt to write a readonly"):
        open_study(out, "digits-2M", None)


def test_a_removed_run_folder_is_named(tmp_path):
    out = few_trials(tmp_path / "run")
    ledger = Ledger(open_study(out, "digits-2M", None), settings(trials=100))
    live = ledger.ask()
    ledger.report(live.trial.number, epoch(0.5))
    shutil.rmtree(out)
    with pytest.raises(StorageError, match="is gone: it was removed"):
        ledger.complete(live.trial.number)


INTERRUPTED_TRANSACTION = """
import os, signal, sqlite3, sys
study = sqlite3.connect(sys.argv[1], isolation_level=None)
study.execute("PRAGMA cache_size=1")
study.execute("BEGIN")
study.execute("UPDATE trial_user_attributes SET value_json = '\\"' || hex(zeroblob(900)) || '\\"'")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("writable", [True, False])
def test_a_transaction_of_a_killed_writer_is_read_as_undone(tmp_path, read_only, writable):
    out = few_trials(tmp_path / "run")
    before = load_run(out)
    subprocess.run([sys.executable, "-c", INTERRUPTED_TRANSACTION, out / "study.db"], check=False)
    assert (out / "study.db-journal").stat().st_size > 0
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    if not writable:
        read_only(out)
    assert load_run(out) == before
    assert {file.name: file.read_bytes() for file in out.iterdir()} == files


def test_run_folders_have_the_permissions_of_their_user(tmp_path):
    from trainers import Recipe, load_dataset

    data = load_dataset("digits", train_samples=64)

    def modes(name, mask, **changes):
        before = os.umask(mask)
        try:
            out = tmp_path / name
            run = new_run(settings(out=str(out), **changes), data, Recipe(epochs=1), ["x"])
            if not changes:
                open_study(run, name, None)
        finally:
            os.umask(before)
        found = [out, *out.iterdir()]
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in found}

    files = (".lock", "run.json", "study.db")
    assert modes("own", 0o077) == {"own": 0o700, **dict.fromkeys(files, 0o600)}
    assert modes("open", 0o022) == {"open": 0o755, **dict.fromkeys(files, 0o644)}
    secret = {"storage": "postgresql+psycopg://me:secret@host/db"}
    expected = {"secret": 0o755, ".lock": 0o644, "run.json": 0o600}
    assert modes("secret", 0o022, **secret) == expected


# ---- databases that cannot be opened -----------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "must be a database URL, such as postgresql"),
        ("postgresql+psycopg://me:sec ret/x:1@host:port/db", "must be a database URL"),
        ("nosuch://me:secret@host/db", "must name a database that SQLAlchemy knows"),
        ("mysql://me:secret@host/db", "pip install 'mysqlclient'"),
        ("sqlite:////no/such/folder/study.db", "unable to open database file"),
        ("sqlite:////tmp/{secret}.db", "must not hold braces"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused(url, message, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    code, said = call_here(
        monkeypatch, capsys, "search", "--budget", "2M", "--storage", url, "--out", out
    )
    assert code == 2
    assert "`--storage`" in said
    assert message in said
    assert "Traceback" not in said
    assert not out.exists()
    assert "me:***@" in said or "me:" not in url


def test_a_study_of_another_run_of_the_same_name_is_not_gone_on_with(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    refuse_existing_study(url, "mine")
    open_study(tmp_path, "mine", url)
    refuse_existing_study(url, "another")
    with pytest.raises(ValueError, match="already holds a study named 'mine'"):
        refuse_existing_study(url, "mine")


def test_of_two_that_write_one_study_the_earlier_ends(tmp_path):
    earlier = train(Ledger(open_study(tmp_path, "run", None), settings()), 2)
    before = [record.trial for record in earlier.finished]
    lost = earlier.ask().trial.number
    later = Ledger(open_study(tmp_path, "run", None), settings())
    earlier.report(lost, epoch(0.5))
    for write in (partial(earlier.complete, lost), earlier.ask, earlier.release_all):
        with pytest.raises(StorageError, match=f"gone on with elsewhere .process {os.getpid()} of"):
            write()
    assert_whole(train(later))
    assert [record.trial for record in later.finished[:2]] == before


def test_passwords_of_any_spelling_are_hidden():
    assert hide_password("postgresql://u:a/b@c@host/db") == "postgresql://u:***@host/db"
    shown = hide_password("postgresql://host/db?user=u&password=secret&x=1")
    assert shown == "postgresql://host/db?user=u&password=***&x=1"


@pytest.mark.slow
def test_a_locked_study_is_waited_for_and_said_to_be(tmp_path):
    url, said = f"sqlite:///{tmp_path / 'studies.db'}?timeout=0.3", []
    study = open_study(tmp_path, "mine", url, Patience(say=said.append, seconds=2))
    other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"not answered for 0 min .*database is locked.*resume"):
        study.set_user_attr("a", 1)
    assert len(said) == 1
    assert "does not answer (database is locked): waiting" in said[0]


def test_a_disk_that_fills_between_the_tables_and_their_version_is_named(small_disk):
    open_study(small_disk, "run", None)
    with contextlib.closing(sqlite3.connect(small_disk / "study.db")) as study:
        study.execute("DELETE FROM version_info")
        study.commit()
    filler = fill(small_disk)
    with pytest.raises(StorageError, match=r"is full .*then go on by: vit-frontier resume"):
        open_study(small_disk, "run", None)
    filler.unlink()
    open_study(small_disk, "run", None)


# ---- whole searches ----------------------------------------------------------------------------


def search_words(out, *words):
    return (
        "search", "--budget", "2M", "--epochs", 2, "--train-samples", 128, "--trials", TRIALS,
        "--workers", 2, "--no-early-stopping", "--out", out, *words,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("when", ["Run folder", "[3/8]", "[8/8]"])
def test_a_search_whose_disk_fills_can_be_resumed_when_there_is_room(
    when, small_disk, start, tmp_path
):
    out, log = small_disk / "run", tmp_path / "log"
    search = start(log, *search_words(out))
    wait_for(log, when, search)
    filler = fill(small_disk)
    code, said = search.wait(timeout=300), log.read_text()
    assert "Traceback" not in said
    assert (code, "full" in said or "No space left" in said) == (1, True), said
    finished = {}
    if (out / "study.db").exists() and when != "Run folder":
        study = sqlite3.connect(f"file:{out}/study.db?mode=ro", uri=True)
        assert study.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert call("status", out).returncode == 0
        finished = {r.trial: r for r in load_run(out).records if r.state == "complete"}
    filler.unlink()
    resumed = call("resume", out)
    assert resumed.returncode == 0, resumed.stderr
    run = load_run(out)
    assert_whole(run)
    assert finished.keys() <= {record.trial for record in run.records}
    assert unfinished(open_study(out, "run", None)) == []
    assert (out / "report.html").stat().st_size > 0
    kept = {r.trial for r in run.front}
    kept |= {r.trial for r in run.records if r.baseline and r.state == "complete"}
    assert {f.stem for f in (out / "weights").iterdir()} == set(map(str, kept))


@pytest.mark.slow
def test_weights_that_do_not_fit_end_the_search_and_their_trial_is_trained_again(
    small_disk, start, tmp_path
):
    out, log = small_disk / "run", tmp_path / "log"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3_750_000))  # room for the study, not for weights
    search = start(log, *search_words(out))
    assert search.wait(timeout=300) == 1, log.read_text()
    assert "is full (No space left on device" in log.read_text()
    assert "Traceback" not in log.read_text()
    kept = {int(file.stem) for file in (out / "weights").iterdir()}  # whole: .tmp has no number
    assert kept <= {record.trial for record in load_run(out).records if record.state == "complete"}
    assert unfinished(open_study(out, "run", None)) != []  # asked again
    assert load_run(out).count("running") == 0
    filler.unlink()
    resumed = call("resume", out)
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(load_run(out))


@pytest.mark.slow
def test_a_run_folder_that_is_removed_or_locked_in_the_middle_ends_the_search(start, tmp_path):
    out, log = tmp_path / "removed", tmp_path / "log"
    search = start(log, *search_words(out))
    wait_for(log, "[3/8]", search)
    shutil.rmtree(out)
    assert search.wait(timeout=300) == 1
    assert "is gone: it was removed" in log.read_text()
    assert "Traceback" not in log.read_text()

    out, log = tmp_path / "locked", tmp_path / "log2"
    search = start(log, *search_words(out))
    wait_for(log, "[3/8]", search)
    if subprocess.run(["chattr", "+i", out], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable folders")
    try:
        assert search.wait(timeout=300) == 1
        status = call("status", out)
    finally:
        subprocess.run(["chattr", "-i", out], check=True)
    assert "cannot be written" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert status.returncode == 0, status.stderr
    assert call("resume", out).returncode == 0
    assert_whole(load_run(out))


@pytest.mark.slow
def test_a_search_that_is_gone_on_with_from_a_copy_of_its_folder_ends(start, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    search = start(log, *search_words(out, "--storage", storage, "--epochs", 20))
    wait_for(log, "[1/8]", search)
    copy = shutil.copytree(out, tmp_path / "elsewhere")
    resumed = call("resume", copy)
    assert search.wait(timeout=300) == 1
    said = log.read_text()
    assert "was gone on with elsewhere (process" in said
    assert "Traceback" not in said
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(load_run(copy))


@pytest.mark.slow
def test_status_and_report_again_and_again_while_a_search_writes(start, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    search = start(log, *search_words(out))
    wait_for(log, "[1/8]", search)
    seen = 0
    while search.poll() is None:
        for name in ("status", "report"):
            done = call(name, out)
            assert done.returncode == 0, done.stderr
        seen += 1
    assert search.returncode == 0, log.read_text()
    assert seen
    assert "does not answer" not in log.read_text()
    assert_whole(load_run(out))


@pytest.mark.slow
def test_optuna_dashboard_shows_the_study_while_a_search_writes_it(start, tmp_path):
    pytest.importorskip("optuna_dashboard")
    out, log = tmp_path / "run", tmp_path / "log"
    search = start(log, *search_words(out, "--trials", 500))
    wait_for(log, "[1/500]", search)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [Path(sys.executable).with_name("optuna-dashboard"), f"sqlite:///{out / 'study.db'}"]
    dashboard = subprocess.Popen([*program, "--port", str(port)], stderr=subprocess.DEVNULL)

    def ask(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=60) as answer:
            return json.load(answer)

    def answers():
        with contextlib.suppress(OSError):
            return ask("studies")

    try:
        hosts.wait_until(answers, 60, lambda: "optuna-dashboard does not answer")
        seen = set()
        while len(seen) < 3:  # it sees the study grow
            assert search.poll() is None, log.read_text()
            time.sleep(0.5)
            (study,) = ask("studies")["study_summaries"]
            detail = ask(f"studies/{study['study_id']}?after=0")
            seen.add(sum(trial["state"] == "Complete" for trial in detail["trials"]))
    finally:
        dashboard.terminate()
        dashboard.wait(timeout=30)
    search.send_signal(signal.SIGINT)
    assert search.wait(timeout=60) == 130
    assert "does not answer" not in log.read_text()
    assert load_run(out).count("complete") >= max(seen)


@pytest.mark.slow
@pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not()))
def test_a_full_disk_of_rays_session_is_named_and_what_runs_is_finished(tmp_path):
    small, said = (
        Path(tempfile.mkdtemp(prefix="vf")),
        tmp_path / "said",
    )  # a short path, for sockets

    def search(size, after=""):
        words = ["--trials", 16, "--no-baselines", "--no-early-stopping", "--train-samples", 128]
        words.append("--no-confirm")
        line = shlex.join(command("search", "--budget", "1M", "--out", tmp_path / "run", *words))
        mount = f"mount -t tmpfs -o size={size} none {small}"
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c",
             f"{mount} && {line} > {said} 2>&1 {after}"],
            cwd=ROOT, check=False,
            env={**ENVIRONMENT, "RAY_TMPDIR": str(small)},
        )  # fmt: skip

    assert search("16k").returncode == 2
    full = f"the disk of '{small}', where Ray keeps its session, is full"
    assert full in said.read_text()
    assert "RAY_TMPDIR" in said.read_text()
    assert not (tmp_path / "run").exists()
    said.write_text("")
    fill = f"until grep -q 1/16 {said}; do sleep 0.1; done; cat /dev/zero > {small}/zeros; wait $!"
    assert search("8m", f"& {fill}").returncode == 0, said.read_text()
    assert f"Workers may not be able to start: {full}" in said.read_text()
    run = load_run(tmp_path / "run")
    assert_whole(run, 16)
    assert all(record.test_accuracy is not None for record in run.front)
    small.rmdir()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+pysqlite:///:memory:?timeout=3",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:a?mode=memory&uri=true",
    ],
)
def test_a_database_that_keeps_nothing_is_refused(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for refused in (
        lambda: refuse_existing_study(absolute_url(url), "run"),
        lambda: open_study(tmp_path, "run", url),
    ):
        with pytest.raises(ValueError, match=r"`--storage` .* must keep the study.*name a file"):
            refused()
