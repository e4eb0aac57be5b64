"""Networks measured on this machine: which, and what is told of them."""

import json

import pytest
import torch
from command_line import call_here
from make_run import make_run
from torch import nn

from results import load_run
from results.latency import read_profile
from search.profiling import ProfileOptions, to_measure
from space import Architecture, count_flops, named
from trainers.latency import _peak_bytes, measure_latency

TINY = {
    "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1,
    "num_heads": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "digits-2M")


def test_of_a_run_members_and_baselines_come_first_and_others_fill_up(run):
    loaded = load_run(run)
    must = {r.trial for r in loaded.front}
    must |= {r.trial for r in loaded.records if r.baseline and r.state == "complete"}
    few = to_measure(str(run), ProfileOptions(networks=1))
    assert {network.trial for network in few} == must
    more = to_measure(str(run), ProfileOptions(networks=len(must) + 3))
    assert len({network.trial for network in more}) == len(must) + 3
    flops = [count_flops(network.architecture) for network in more]
    assert flops == sorted(flops)


def test_a_name_is_of_no_run_and_a_trial_of_one(run):
    (of_no_run,) = to_measure("deit_tiny", ProfileOptions())
    assert (of_no_run.architecture, of_no_run.run) == (named("deit_tiny"), None)
    (one,) = to_measure(f"{run}:best", ProfileOptions())
    assert (one.trial, one.run) == (load_run(run).front[-1].trial, run)


def test_options_that_cannot_be_are_told():
    with pytest.raises(ValueError, match="`--batch-size` must be an integer from 1"):
        ProfileOptions(batch_size=0)


def test_a_larger_network_takes_longer_and_more_memory():
    small, large = (
        measure_latency(Architecture(**TINY | changes), seconds=0.05, batch_size=8)
        for changes in ({}, {"embed_dim": 256, "depth": 12, "patch_size": 2})
    )
    assert 0 < small.low <= small.seconds <= small.high
    assert large.seconds > small.seconds
    assert large.images_per_second < small.images_per_second
    assert large.peak_bytes > 4 * small.peak_bytes > 0
    tokens = 8 * 16 * 3 * 256 * 4  # queries, keys and values of a block, at least
    assert large.peak_bytes > tokens


def test_peak_memory_is_of_the_tensors_that_live_at_once():
    model = nn.Sequential(nn.Linear(100, 400), nn.ReLU(), nn.Linear(400, 10))
    images = torch.zeros(50, 100)
    assert _peak_bytes(model, images) == 2 * 50 * 400 * 4  # before and after the ReLU


def test_the_command_keeps_what_it_measured_beside_the_run(run, monkeypatch, capsys):
    best = load_run(run).front[-1].trial
    words = ["profile", f"{run}:{best}", "--seconds", 0.02, "--batch-size", 2]
    code, said = call_here(monkeypatch, capsys, *words)
    assert code == 0, said
    assert f"trial {best}: " in said
    assert "images/s" in said
    (row,) = [row for row in read_profile(run) if row["device"] == "cpu"]
    assert (row["trial"], row["batch_size"], row["compiled"]) == (best, 2, False)
    code, said = call_here(monkeypatch, capsys, *words, "--json")
    assert json.loads(said.splitlines()[0])[0]["trial"] == best
