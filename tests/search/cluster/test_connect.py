"""Searches on a Ray cluster of several nodes, all on this machine."""

import os
import shutil
import subprocess
import sys

import pytest
import ray
from command_line import ENVIRONMENT, ROOT, command, wait_for
from hosts import wait_until

from results import load_run
from search.cluster.connect import (
    _make_session_folder_usable,
    connected,
    refuse_shadows,
    room_for,
)


@pytest.fixture
def cluster():
    """A head without room for trials and two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster, nodes
    cluster.shutdown()


def workers_of(out):
    """Who trained a trial to the end."""
    return {record.worker for record in load_run(out).records if record.state == "complete"}


@pytest.mark.slow
def test_a_search_is_spread_over_nodes_and_survives_the_loss_of_one(cluster, start, tmp_path):
    cluster, nodes = cluster
    out, log = tmp_path / "run", tmp_path / "log"
    driver = start(
        log, "search", "--budget", "1M", "--trials", 8, "--epochs", 10, "--train-samples", 500,
        "--no-early-stopping", "--address", cluster.address, "--out", out,
    )  # fmt: skip
    wait_for(log, "[1/8]", driver)
    wait_until(lambda: len(workers_of(out)) == 2, 120, log.read_text, driver)
    cluster.remove_node(nodes[0])
    assert driver.wait(timeout=180) == 0, log.read_text()
    run = load_run(out)
    assert run.count("complete") == len(run.records) == 8, log.read_text()
    assert len(workers_of(out)) >= 2
    assert run.front[-1].test_accuracy is not None


@pytest.mark.parametrize(
    ("there", "amount", "times"),
    [(8, 0.4, 16), (2, 0.25, 8), (1, 1 / 3, 3), (3, 2, 1), (8, 1, 8), (0, 0.5, 0), (2.0, 1.5, 1)],
)
def test_a_trial_never_stands_on_two_gpus_in_part(there, amount, times):
    assert room_for(there, amount) == times


ROOM = """
import ray
from search.cluster.connect import connected, describe_room
from search.settings import SearchSettings
from space import SearchSpace
ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False)
with connected(None):
    for cpus, gpus, workers in (
        (1, None, None), (0.5, 0.25, None), (0.5, 0.25, 9), (1, 0, 1), (1, 2, 1)
    ):
        choices = {"cpus_per_trial": cpus, "gpus_per_trial": gpus, "workers": workers}
        space = SearchSpace.load("digits")
        try:
            print(describe_room(SearchSettings(budget=10**6, space=space, **choices)))
        except ValueError as error:
            print(error)
"""


@pytest.mark.slow  # a Ray with a GPU that is not there
def test_the_room_for_trials_is_said_with_its_reason():
    done = subprocess.run(
        [sys.executable, "-c", ROOM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    there = "1 node with 2 CPU cores and 1 GPU has room for"
    assert done.stdout.splitlines() == [
        f"1 trial at a time, 1 CPU core and 1 GPU each: {there} 1.",
        f"4 trials at a time, 0.5 CPU core and 0.25 GPU each: {there} 4.",
        f"4 trials at a time, 0.5 CPU core and 0.25 GPU each: {there} 4, 9 were asked for.",
        f"1 trial at a time, 1 CPU core each: {there} 2.",
        "A trial must fit on this machine, which has 2 CPU cores and 1 GPU, but it takes "
        "1 CPU core and 2 GPUs: lower --cpus-per-trial or --gpus-per-trial.",
    ], done.stderr


@pytest.mark.slow
def test_a_session_folder_with_too_long_a_name_is_refused_with_what_to_do(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    done = subprocess.run(
        command("search", "--budget", "1M", "--trials", 1, "--out", tmp_path / "run"),
        env={**ENVIRONMENT, "TMPDIR": str(folder)}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "too long for its sockets: set RAY_TMPDIR to a folder with a short name" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "variable", "said"),
    [
        (None, "127.0.0.1:9", "`RAY_ADDRESS` (='127.0.0.1:9') must be a Ray cluster that answers"),
        (
            None,
            "http://127.0.0.1:8265",
            "`RAY_ADDRESS` .* but is a URL: http:// is that of the das",
        ),
        (None, "ray://host:10001", "`RAY_ADDRESS` .* must be auto or host:port: Ray Tune does not"),
        ("127.0.0.1:9", "", "`--address` (='127.0.0.1:9') must be .* or leave --address out to us"),
        ("http://a:1", "127.0.0.1:9", "`--address` (='http://a:1') must be auto or host:port"),
    ],
)
def test_who_gave_a_wrong_address_is_said(monkeypatch, given, variable, said):
    monkeypatch.setenv("RAY_ADDRESS", variable)
    with (
        pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")),
        connected(given),
    ):
        pass


def test_the_folder_of_rays_session_may_be_relative_but_not_beyond_ascii(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_TMPDIR", "here")
    _make_session_folder_usable()
    assert os.environ["RAY_TMPDIR"] == str(tmp_path / "here")
    monkeypatch.setenv("RAY_TMPDIR", "été")
    with pytest.raises(ValueError, match=r"`RAY_TMPDIR` .* must be ASCII"):
        _make_session_folder_usable()


def test_a_full_disk_of_rays_session_is_said_before_ray_is_started(monkeypatch):
    nearly = shutil.disk_usage("/")._replace(free=4_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nearly)
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ValueError, match=r"is full \(4\.0 MB left\): make room"), connected(None):
        pass


@pytest.mark.parametrize("name", ["search", "space", "trainers", "results"])
def test_what_workers_would_take_for_a_package_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.chdir(ROOT)
    refuse_shadows()
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    refuse_shadows()  # no package
    (tmp_path / name / "__init__.py").touch()
    with pytest.raises(ValueError, match=f"must not hold {name}/: Ray's workers"):
        refuse_shadows()
    monkeypatch.chdir(tmp_path / name)
    (tmp_path / name / f"{name}.py").touch()
    with pytest.raises(ValueError, match=f"must not hold {name}.py: Ray's workers"):
        refuse_shadows()
