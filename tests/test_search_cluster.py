"""Searches on a Ray cluster of several nodes, all on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import load_run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def cluster():
    """A head without room for trials and two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster, nodes
    cluster.shutdown()


def test_a_search_is_spread_over_nodes_and_survives_the_loss_of_one(cluster, tmp_path):
    cluster, nodes = cluster
    out, log = tmp_path / "run", tmp_path / "log"
    command = [
        sys.executable, "-m", "search", "search", "--budget", "1M", "--trials", "8",
        "--epochs", "16",
        "--train-samples", "1000", "--no-early-stopping", "--address", cluster.address,
        "--out", out,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        driver = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, stdout=stream, stderr=stream, env=environment
        )
    try:
        deadline = time.monotonic() + 120
        while "[3/8]" not in log.read_text():
            assert driver.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        cluster.remove_node(nodes[0])
        assert driver.wait(timeout=180) == 0, log.read_text()
    finally:
        driver.kill()
    run = load_run(out)
    assert run.count("complete") == len(run.records) == 8, log.read_text()
    assert len({record.worker for record in run.records}) >= 2
    assert run.front[-1].test_accuracy is not None
