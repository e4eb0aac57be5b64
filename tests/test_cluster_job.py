"""Ray's job server and token authentication for real, on one host of its own. Run by
`make cluster-test`; the jobs need `ray[default]`."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import hosts
import pytest

from results import load_run

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not())),
]
WITH_DASHBOARD = importlib.util.find_spec("aiohttp_cors") is not None
SEARCH = (
    "search", "--budget", "1M", "--trials", "4", "--epochs", "2", "--train-samples", "128",
    "--no-baselines", "--sampler", "random", "--out",
)  # fmt: skip


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A host with a Ray head that asks for a token, and the file of its log."""
    made, log = hosts.Hosts(), tmp_path_factory.mktemp("head") / "ray"
    host = made.add()
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    dashboard = f"--include-dashboard={str(WITH_DASHBOARD).lower()}"
    host.start_ray("--head", f"--port={hosts.PORT}", dashboard, log=log, **path)
    hosts.wait_until(lambda: "Ray runtime started" in log.read_text(), 90, log.read_text)
    yield host
    made.close()


@pytest.fixture
def out(head):
    """A folder of the host for a run; removed before."""
    shutil.rmtree(head.folder("/tmp/run"), ignore_errors=True)
    return "/tmp/run"


def call(host, log, *words, **variables):
    """The exit code of a command on that host and what it printed."""
    process = host.start(sys.executable, "-m", *words, log=log, **variables)
    code = process.wait(timeout=240)
    return code, log.read_text()


@pytest.mark.parametrize(
    "variables",
    [
        {"RAY_AUTH_TOKEN": None},
        {"RAY_AUTH_TOKEN": "a-wrong-token"},
        {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": None},
    ],
    ids=["no token", "wrong token", "authentication off"],
)
def test_a_token_problem_is_one_sentence_of_what_to_set(head, out, variables, tmp_path):
    address = f"{head.address}:{hosts.PORT}"
    code, said = call(
        head, tmp_path / "log", "search", *SEARCH, out, "--address", address, **variables
    )
    assert code == 2, said
    error = said[said.index("Error: ") :]
    assert error.startswith(f"Error: The Ray cluster at '{address}' asks for a token: set ")
    assert "RAY_AUTH_MODE=token" in error
    assert "RAY_AUTH_TOKEN" in error
    assert error.count("\n") == 1
    assert "Traceback" not in said


def test_a_cluster_that_is_not_there_is_one_sentence(head, out, tmp_path):
    code, said = call(
        head, tmp_path / "log", "search", *SEARCH, out, "--address", "127.0.0.1:46009"
    )
    assert code == 2, said
    assert "Error: `--address` (='127.0.0.1:46009') must be a Ray cluster that answers" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [(), ("--address", "auto")])
def test_the_address_is_taken_from_ray(head, out, words, tmp_path):
    address = {} if words else {"RAY_ADDRESS": f"{head.address}:{hosts.PORT}"}
    code, said = call(head, tmp_path / "log", "search", *SEARCH, out, *words, **address)
    assert code == 0, said
    assert "1 trial at a time, 1 CPU core each: 1 node with 1 CPU core has room for 1." in said


def test_ray_client_is_refused_with_what_to_use(head, out, tmp_path):
    code, said = call(
        head, tmp_path / "log", "search", *SEARCH, out, "--address", "ray://10.77.0.1:1"
    )
    assert code == 2, said
    assert "--address host:port" in said
    assert "ray job submit" in said
    assert "Traceback" not in said


@pytest.mark.skipif(not WITH_DASHBOARD, reason="needs ray[default]")
def test_a_submitted_job_searches_from_the_uploaded_checkout(head, out, tmp_path):
    submit = (
        "ray.scripts.scripts", "job", "submit", "--address", "http://127.0.0.1:8265",
        "--working-dir", str(ROOT), "--", "python", "-m", "search", *SEARCH, out,
    )  # fmt: skip
    refused, said = call(head, tmp_path / "refused", *submit, RAY_AUTH_TOKEN="a-wrong-token")
    assert refused != 0, said
    code, said = call(head, tmp_path / "log", *submit)
    assert code == 0, said
    copy = tmp_path / "run"
    shutil.copytree(head.folder("/tmp/run"), copy)
    run = load_run(copy)
    assert run.finished
    assert len(run.records) == 4
    assert run.front[-1].test_accuracy is not None
