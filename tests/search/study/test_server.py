"""A PostgreSQL server as `--storage`, a real one, that is stopped, cut off and started again."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from command_line import call, wait_for
from optuna.trial import TrialState
from test_storage import TRIALS, assert_whole, search_words, settings, train

from results import load_run
from results.study_file import read_study
from search.study.errors import StorageError
from search.study.ledger import Ledger
from search.study.patience import Patience
from search.study.storage import open_study, refuse_existing_study

pytestmark = pytest.mark.slow
PASSWORD = "open%2FSesame"  # as a URL has it


class Server:
    """A PostgreSQL of its own on loopback, run by an ordinary user."""

    def __init__(self, binaries, folder, user):
        self.binaries, self.folder, self.user = binaries, folder, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "password").write_text(PASSWORD.replace("%2F", "/"))
        self._run(
            "initdb", "-D", folder / "data", "-U", "searcher", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", f"--pwfile={folder / 'password'}", "--no-sync",
        )  # fmt: skip
        self.start()

    def _run(self, program, *words):
        other = {"user": self.user, "group": self.user_group(), "extra_groups": []}
        done = subprocess.run(
            [self.binaries / program, *map(str, words)], cwd=self.folder, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
            **(other if os.geteuid() == 0 else {}),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def user_group(self):
        import grp
        import pwd

        return grp.getgrgid(pwd.getpwnam(self.user).pw_gid).gr_name

    def start(self):
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off "
            "-c shared_buffers=16MB"
        )
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self.folder / "data", "-o", options, "-w", "-l", log, "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def url(self, port=None, password=PASSWORD):
        login = f"searcher:{password}@127.0.0.1:{port or self.port}"
        return f"postgresql+psycopg://{login}/postgres"


def binaries():
    """The folder of PostgreSQL's programs, or None."""
    places = [Path(found).parent for found in [shutil.which("initdb")] if found]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        told = subprocess.run(
            ["pg_config", "--bindir"], capture_output=True, text=True, check=True
        ).stdout
        places.append(Path(told.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").exists() and (p / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def server_of_module():
    pytest.importorskip("psycopg")
    if (place := binaries()) is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="vit-frontier-postgres-"))
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    server = Server(place, folder, user)
    yield server
    with contextlib.suppress(AssertionError):
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(server_of_module):
    """The server, running."""
    yield server_of_module
    if not (server_of_module.folder / "data" / "postmaster.pid").exists():
        server_of_module.start()


def test_a_search_waits_for_its_server_and_goes_on(server, start, tmp_path):
    out, log = tmp_path / "waits", tmp_path / "log"
    words = (*search_words(out, "--storage", server.url()), "--silence", "90s")
    search = start(log, *words)
    wait_for(log, "[2/8]", search)
    server.stop()
    wait_for(log, "does not answer", search)
    time.sleep(100)  # longer than workers may be silent
    server.start()
    assert search.wait(timeout=400) == 0, log.read_text()
    said = log.read_text()
    assert said.count("The study's storage does not answer (") == 1
    assert said.count("The study's storage answers again") == 1
    assert "Traceback" not in said
    run = load_run(out)
    assert_whole(run)
    assert not open_trials(open_study(out, "waits", server.url()))
    # The password is in run.json alone, which only its user may read.
    assert PASSWORD not in said
    assert stat.S_IMODE((out / "run.json").stat().st_mode) == 0o600
    assert (out / "run.json").read_text().count(PASSWORD) == 2  # settings and storage
    assert not [f for f in out.rglob("*.*") if f.name != "run.json" and has_password(f)]
    status = call("status", out)
    assert (status.returncode, f"{TRIALS} complete" in status.stdout) == (0, True)


def has_password(file):
    return file.is_file() and PASSWORD.encode() in file.read_bytes()


def open_trials(study):
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))


def test_ctrl_c_while_the_server_is_away_ends_the_search_and_it_can_be_resumed(
    server, start, tmp_path
):
    out, log = tmp_path / "interrupted", tmp_path / "log"
    search = start(log, *search_words(out, "--storage", server.url()))
    wait_for(log, "[2/8]", search)
    server.stop()
    wait_for(log, "does not answer", search)
    search.send_signal(signal.SIGINT)
    assert search.wait(timeout=60) == 130
    said = log.read_text()
    assert f"did not answer. Nothing finished is lost; go on by: vit-frontier resume {out}" in said
    assert "Traceback" not in said
    away = call("resume", out)
    assert (away.returncode, "Connection refused" in away.stderr) == (2, True)
    assert PASSWORD not in away.stderr
    server.start()
    resumed = call("resume", out)
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(load_run(out))
    assert not open_trials(open_study(out, "interrupted", server.url()))


def test_waiting_for_a_server_has_an_end(server, tmp_path):
    said = []
    patience = Patience(say=said.append, seconds=3)
    study = open_study(tmp_path, "bounded", server.url(), patience)
    server.stop()
    with pytest.raises(StorageError, match=r"has not answered for .* then go on by: vit-frontier"):
        study.set_user_attr("a", 1)
    assert len(said) == 1
    server.start()


def test_a_wrong_password_and_a_wrong_port_are_one_sentence_without_the_password(server, tmp_path):
    for url, reason in (
        (server.url(password="wrong-one"), "password authentication failed"),
        (server.url(port=1), "Connection refused"),
    ):
        out = tmp_path / "run"
        done = call("search", "--budget", "2M", "--storage", url, "--out", out)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: `--storage` (='postgresql+psycopg://searcher:***@")
        assert reason in done.stderr
        assert "wrong-one" not in done.stderr + done.stdout
        assert PASSWORD not in done.stderr + done.stdout
        assert not out.exists()
    refuse_existing_study(server.url(), "new")


class Cutter:
    """A way to the server that is cut now and then, after a COMMIT came through and before it is
    answered."""

    def __init__(self, port):
        self._port, self.every, self._commits = port, None, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                cut = threading.Event()
                for pair in ((client, server, cut, True), (server, client, cut, False)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, sink, cut, to_server):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if to_server and self.every and b"COMMIT" in data:
                    self._commits += 1
                    if self._commits % self.every == 0:
                        cut.set()  # first, so that the answer is not carried
                        self.cuts += 1
                if cut.is_set() and not to_server:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()


def test_a_commit_whose_answer_was_lost_is_done_once(server, tmp_path):
    way, few = Cutter(server.port), settings(trials=12)
    ledger = Ledger(open_study(tmp_path, "cut", server.url(way.port)), few)
    way.every = 2
    train(ledger, 12)
    ledger.release_all()
    way.close()
    assert way.cuts >= 10
    assert_whole(ledger, 12)
    again = Ledger(open_study(tmp_path, "cut", server.url()), few)
    assert_whole(again, 12)
    assert again.finished == ledger.finished
    assert not again.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


# ---- a server that answers, but not as it should ------------------------------------------------


@pytest.fixture
def few_rights(server):
    """A role that is no superuser, and `do(sql)` by one that is."""
    import psycopg

    login = f"host=127.0.0.1 port={server.port} dbname=postgres user=searcher"
    password = PASSWORD.replace("%2F", "/")
    with psycopg.connect(login, password=password, autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("DROP SCHEMA IF EXISTS few CASCADE")
        admin.execute("DROP ROLE IF EXISTS few")
        admin.execute(f"CREATE ROLE few LOGIN PASSWORD '{password}'")
        admin.execute("CREATE SCHEMA AUTHORIZATION few")
        admin.execute("ALTER ROLE few SET search_path = few")  # in public are others' tables
        yield server.url().replace("searcher:", "few:"), admin.execute
        admin.execute("ALTER ROLE few CONNECTION LIMIT -1")
        admin.execute("DROP OWNED BY few")
        admin.execute("DROP ROLE few")


END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'few'"


def waits_for(name, folder, few_rights, *, wrong, right, after=2.0):
    """Half of the trials, then `wrong` until `right` comes; what was said."""
    url, do = few_rights
    said, few = [], settings(trials=12)
    ledger = Ledger(open_study(folder, name, url, Patience(say=said.append)), few)
    train(ledger, 6)
    for sql in wrong:
        do(sql)
    do(END_ALL)
    mended = threading.Timer(after, lambda: [do(sql) for sql in right])
    mended.start()
    train(ledger, 12)
    mended.join()
    assert_whole(ledger, 12)
    assert_whole(Ledger(open_study(folder, name, url), few), 12)
    return said


def test_a_server_that_only_reads_for_a_while_is_waited_for(few_rights, tmp_path):
    said = waits_for(
        "reads", tmp_path, few_rights,
        wrong=["ALTER ROLE few SET default_transaction_read_only = on"],
        right=["ALTER ROLE few RESET default_transaction_read_only", END_ALL],
    )  # fmt: skip
    assert "read-only transaction" in said[0]
    assert "answers again" in said[1]


def test_a_server_without_a_free_connection_is_waited_for(few_rights, tmp_path):
    said = waits_for(
        "crowded", tmp_path, few_rights,
        wrong=["ALTER ROLE few CONNECTION LIMIT 0"], right=["ALTER ROLE few CONNECTION LIMIT -1"],
    )  # fmt: skip
    assert "too many connections" in said[0]
    assert "answers again" in said[1]


def test_a_statement_that_takes_too_long_for_the_server_is_tried_again(few_rights, tmp_path):
    """As another program holds the table."""
    url, do = few_rights
    do("ALTER ROLE few SET statement_timeout = '300ms'")
    said, few = [], settings(trials=8)
    ledger = Ledger(open_study(tmp_path, "slow", url, Patience(say=said.append)), few)
    train(ledger, 4)
    do("BEGIN")
    do("LOCK TABLE few.trials IN ACCESS EXCLUSIVE MODE")
    over = threading.Timer(2.0, lambda: do("COMMIT"))
    over.start()
    train(ledger, 8)
    over.join()
    assert "statement timeout" in said[0]
    assert_whole(Ledger(open_study(tmp_path, "slow", url), few), 8)


def test_a_server_that_ends_idle_connections_is_no_fault(few_rights, tmp_path):
    url, do = few_rights
    do("ALTER ROLE few SET idle_session_timeout = '3s'")
    said, few = [], settings(trials=6)
    ledger = Ledger(open_study(tmp_path, "idle", url, Patience(say=said.append)), few)
    for trials in (2, 4, 6):
        train(ledger, trials)
        time.sleep(3.5)
    assert said == []
    assert_whole(Ledger(open_study(tmp_path, "idle", url), few), 6)


@pytest.fixture
def bouncer(server):
    """The URL of a pgbouncer that gives each transaction one of its two connections: Optuna needs
    two at a time as it makes its tables."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = server.folder / "bouncer"
    folder.mkdir()
    (folder / "users").write_text(f'"searcher" "{PASSWORD.replace("%2F", "/")}"\n')
    (folder / "ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    other = {"user": server.user, "group": server.user_group(), "extra_groups": []}
    pooler = subprocess.Popen(
        [program, "-q", folder / "ini"], cwd=server.folder, **(other if os.geteuid() == 0 else {})
    )
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.1)
    yield server.url(port)
    pooler.terminate()
    pooler.wait(timeout=30)
    shutil.rmtree(folder)


def test_two_searches_share_the_connections_of_pgbouncer_in_transaction_mode(bouncer, tmp_path):
    """A statement that one of them had prepared would be in the other's way."""
    said, few, ledgers = [], settings(trials=12), []
    for name in ("left", "right"):
        study = open_study(tmp_path / name, name, bouncer, Patience(say=said.append))
        ledgers.append(Ledger(study, few))
    for trials in (3, 6, 9, 12):
        for ledger in ledgers:
            train(ledger, trials)
    assert said == []
    for name, ledger in zip(("left", "right"), ledgers, strict=True):
        assert_whole(ledger, 12)
        trials, _ = read_study(tmp_path, name, bouncer)
        assert len(trials) == len(ledger.study.get_trials(deepcopy=False))
