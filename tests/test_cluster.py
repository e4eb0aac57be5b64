"""Searches on a Ray cluster of several hosts, each a set of Linux namespaces: real losses of hosts,
of their network and of the head. Run by `make cluster-test`."""

import shutil
import sys

import hosts
import numpy as np
import optuna
import pytest
from PIL import Image

from results import load_run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not())),
]
# A silent host is given up after 6 to 9 s instead of Ray's 30 to 65 s.
IMPATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
SHORT = ("--budget", "1M", "--no-early-stopping", "--no-baselines", "--sampler", "random")


class Cluster:
    """A Ray cluster on hosts; the first host is the head."""

    def __init__(self, made, folder):
        self.hosts, self._made, self._folder = [], made, folder
        head = self.add("--head", f"--port={hosts.PORT}", "--include-dashboard=false")
        self.address = f"{head.address}:{hosts.PORT}"
        hosts.wait_until(
            lambda: "Ray runtime started" in self.log(head), 60, lambda: self.log(head)
        )

    def add(self, *words):
        host = self._made.add()
        self.start_ray(host, *words)
        return host

    def start_ray(self, host, *words, **variables):
        words = words or (f"--address={self.address}",)
        log = self._folder / f"ray-{host.name}"
        host.start_ray(*words, log=log, **IMPATIENT, **variables)
        self.hosts.append(host)

    def log(self, host):
        return (self._folder / f"ray-{host.name}").read_text()


class Driver:
    """`vit-frontier` on one host, its run folder in that host's own /tmp."""

    def __init__(self, host, folder, *words, **variables):
        self.host, self.folder, self.file = host, folder, folder / f"driver-{host.name}"
        self.process = host.start(
            sys.executable, "-m", "search", *words, log=self.file, **variables
        )

    @property
    def said(self):
        return self.file.read_text()

    def run(self):
        """The run folder as it is now, copied from the driver's host."""
        copy = self.folder / "run"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.host.folder("/tmp/run"), copy)
        return load_run(copy)

    def wait_for(self, text, seconds=300):
        hosts.wait_until(lambda: text in self.said, seconds, lambda: self.said, self.process)

    def wait_for_records_of(self, names, seconds=300):
        """Waits until each host of `names` has trained a trial."""

        def all_there():
            return "[" in self.said and names <= {host_of(record) for record in self.run().records}

        hosts.wait_until(all_there, seconds, lambda: self.said, self.process)

    def finish(self, seconds=300):
        code = self.process.wait(timeout=seconds)
        assert "Traceback" not in self.said, self.said
        return code


def host_of(record):
    return (record.worker or "").partition(":")[0]


@pytest.fixture
def made():
    made = hosts.Hosts()
    yield made
    made.close()


@pytest.fixture
def cluster(made, tmp_path):
    """Four hosts with one CPU each."""
    cluster = Cluster(made, tmp_path)
    for _ in range(3):
        cluster.add()
    return cluster


def assert_nothing_is_lost(run, trials):
    """Every trial complete, each architecture once, and what a lost host trained, trained again."""
    assert [record.state for record in run.records] == ["complete"] * trials
    trained = {record.architecture.key() for record in run.records}
    assert len(trained) == trials
    assert run.front[-1].test_accuracy is not None
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run.path}/study.db")
    interrupted = [t for t in study.trials if t.user_attrs.get("state") == "interrupted"]
    known = [record.architecture.to_dict() for record in run.records]
    assert interrupted
    assert all(trial.user_attrs["architecture"] in known for trial in interrupted)


def make_images(folder):
    """Three classes of 8-pixel images."""
    draw = np.random.default_rng(0)
    for kind, brightness in {"dark": 40, "grey": 120, "light": 200}.items():
        (folder / kind).mkdir(parents=True)
        for number in range(60):
            pixels = draw.integers(brightness - 40, brightness + 40, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")


def test_images_of_one_host_reach_all_and_a_killed_host_loses_nothing(cluster, tmp_path):
    head, *_, victim = cluster.hosts
    make_images(head.folder("/tmp/images"))
    assert not victim.folder("/tmp/images").exists()
    driver = Driver(
        head, tmp_path, "search", *SHORT, "--trials", "24", "--epochs", "8", "--data",
        "/tmp/images", "--img-size", "8", "--address", cluster.address, "--out", "/tmp/run",
    )  # fmt: skip
    driver.wait_for_records_of({host.name for host in cluster.hosts})
    victim.kill()
    assert driver.finish() == 0, driver.said
    assert_nothing_is_lost(driver.run(), 24)


def test_a_search_grows_onto_a_host_that_joins_and_does_without_one_that_is_cut_off(made, tmp_path):
    cluster = Cluster(made, tmp_path)
    cut_off = cluster.add()
    driver = Driver(
        cluster.hosts[0], tmp_path, "search", *SHORT, "--trials", "6", "--epochs", "80",
        "--train-samples", "300", "--workers", "auto", "--address", cluster.address,
        "--out", "/tmp/run",
    )  # fmt: skip
    driver.wait_for("at a time")
    new = cluster.add()  # trials are long: Tune may drop a worker that starts as a trial ends
    driver.wait_for_records_of({new.name})
    cut_off.unplug()
    assert driver.finish() == 0, driver.said
    assert_nothing_is_lost(driver.run(), 6)


def test_a_lost_head_ends_the_search_and_the_run_folder_goes_on_elsewhere(cluster, made, tmp_path):
    head, second, *_ = cluster.hosts
    driver = Driver(
        second, tmp_path, "search", *SHORT, "--trials", "12", "--epochs", "8", "--train-samples",
        "300", "--address", cluster.address, "--out", "/tmp/run",
        RAY_gcs_rpc_server_reconnect_timeout_s="24",
    )  # fmt: skip
    driver.wait_for("[4/12]")
    head.kill()
    assert driver.finish(seconds=90) == 1
    assert "Nothing finished is lost; go on by: vit-frontier resume /tmp/run" in driver.said
    before = driver.run()
    finished = {r.trial: r.architecture for r in before.records if r.state == "complete"}
    assert len(finished) >= 4
    assert before.count("running") == 0
    for host in cluster.hosts[1:]:
        host.kill()
    anew = Cluster(made, tmp_path)
    anew.add()
    shutil.copytree(before.path, anew.hosts[0].folder("/tmp/run"))
    driver = Driver(anew.hosts[0], tmp_path, "resume", "/tmp/run", "--address", anew.address)
    assert driver.finish() == 0, driver.said
    run = driver.run()
    assert_nothing_is_lost(run, 12)
    assert finished.items() <= {r.trial: r.architecture for r in run.records}.items()


def test_the_doctor_names_the_host_with_other_versions_or_a_full_disk(made, tmp_path):
    cluster = Cluster(made, tmp_path)
    other = made.add()
    assert other.start("mount", "-o", "remount,size=1500m", "/tmp", log=tmp_path / "m").wait() == 0
    other.folder("/tmp/more/timm-0.0.1.dist-info").mkdir(parents=True)
    (other.folder("/tmp/more/timm-0.0.1.dist-info") / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: timm\nVersion: 0.0.1\n"
    )
    cluster.start_ray(other, PYTHONPATH="/tmp/more")
    hosts.wait_until(
        lambda: "Ray runtime started" in cluster.log(other), 60, lambda: cluster.log(other)
    )
    doctor = Driver(cluster.hosts[0], tmp_path, "doctor", "--address", cluster.address)
    assert doctor.finish() == 1, doctor.said
    good, bad = (f"node {host.address}" for host in (cluster.hosts[0], other))
    assert f"ok  {good} has the same versions" in doctor.said
    assert f"FIX {bad} has timm 0.0.1 (here " in doctor.said
    assert f"ok  {good}: 1 CPUs for Ray" in doctor.said
    assert f"FIX {bad}: 1." in doctor.said
    assert "of disk free in /tmp" in doctor.said
