"""What a worker does before it trains."""

import pytest
import torch

from search.cluster.worker import (
    CUDA_CONTEXT_BYTES,
    ProxyTrainable,
    keep_to_share_of_gpu,
    memory_fraction,
)
from space import SearchSpace
from trainers import CaptureError

GIB = 2**30


@pytest.mark.parametrize(
    ("gpus", "total", "fraction"),
    [
        (0.25, 80 * GIB, 0.25 - CUDA_CONTEXT_BYTES / (80 * GIB)),
        (0.5, 16 * GIB, 0.5 - CUDA_CONTEXT_BYTES / (16 * GIB)),
        (0.1, 4 * GIB, 0.05),  # at least half of the share
    ],
)
def test_memory_of_all_processes_of_a_gpu_fits_with_what_cuda_takes(gpus, total, fraction):
    assert memory_fraction(gpus, total) == pytest.approx(fraction)


@pytest.mark.parametrize("gpus", [0.1, 0.25, 1 / 3, 0.5])
def test_processes_that_share_a_gpu_of_16_gib_do_not_ask_for_more_than_it_has(gpus):
    processes = int(1 / gpus + 1e-9)
    taken = memory_fraction(gpus, 16 * GIB) * 16 * GIB + CUDA_CONTEXT_BYTES
    assert processes * taken <= 16 * GIB + 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_a_gpu_that_ray_reserved_and_torch_does_not_see_is_said_with_what_to_do():
    with pytest.raises(RuntimeError, match=r"Ray reserved 0\.25 GPUs .* --gpus-per-trial 0 "):
        keep_to_share_of_gpu(0.25)
    keep_to_share_of_gpu(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_share_of_a_gpu_is_all_the_memory_that_a_process_gets():
    total = torch.cuda.get_device_properties(0).total_memory
    keep_to_share_of_gpu(0.1)
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(int(0.11 * total), dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("graphs", [False, True])
def test_a_worker_trains_with_graphs_where_it_was_told_to(graphs, monkeypatch):
    told = []
    monkeypatch.setattr("trainers.proxy_epochs", lambda *rest, **options: told.append(options))
    worker = ProxyTrainable.__new__(ProxyTrainable)
    architecture = SearchSpace.load("digits").smallest().to_dict()
    config = {"trial": 0, "seed": 7, "architecture": architecture}
    worker.setup(config, threads=torch.get_num_threads(), graphs=graphs)
    assert "failed" in worker.step()  # the stand-in for a training has no epochs
    assert [(options["seed"], options["graphs"]) for options in told] == [(7, graphs)]


def test_a_worker_whose_capture_failed_ends_with_its_trial(monkeypatch):
    def fails(*rest, **options):
        raise CaptureError("no CUDA graph")

    monkeypatch.setattr("trainers.proxy_epochs", fails)
    worker = ProxyTrainable.__new__(ProxyTrainable)
    architecture = SearchSpace.load("digits").smallest().to_dict()
    worker.setup({"trial": 0, "seed": 7, "architecture": architecture}, graphs=True)
    with pytest.raises(CaptureError):
        worker.step()


def test_a_trial_asked_again_without_graphs_has_none_though_the_search_has(monkeypatch):
    told = []
    monkeypatch.setattr("trainers.proxy_epochs", lambda *rest, **options: told.append(options))
    worker = ProxyTrainable.__new__(ProxyTrainable)
    architecture = SearchSpace.load("digits").smallest().to_dict()
    config = {"trial": 0, "seed": 7, "architecture": architecture, "eager": True}
    worker.setup(config, graphs=True)
    worker.step()
    assert told[0]["graphs"] is False


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (0.5, None)])
def test_a_worker_without_a_reserved_gpu_trains_on_the_cpu(gpus, device, monkeypatch):
    told = []
    monkeypatch.setattr("trainers.proxy_epochs", lambda *rest, **options: told.append(options))
    monkeypatch.setattr("search.cluster.worker.keep_to_share_of_gpu", lambda gpus: None)
    worker = ProxyTrainable.__new__(ProxyTrainable)
    architecture = SearchSpace.load("digits").smallest().to_dict()
    worker.setup({"trial": 0, "seed": 7, "architecture": architecture}, gpus=gpus)
    assert worker.step()["failed"]  # nothing is trained here
    assert told[0]["device"] == device
