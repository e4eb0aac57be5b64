"""results.anytime: what a search had when, and what it cost, against sums made by hand."""

import dataclasses

import pytest
from make_run import make_run, plain

from results import load_run
from results.anytime import cost_of, hours, most_at_once, progress_rows
from results.record import Epoch, TrialRecord

HOUR = 3600.0


def record(trial, flops, epochs, started, took, *, state="complete", accuracy=0.5):
    """One whose last epoch has `accuracy`; times in hours."""
    curve = tuple(
        Epoch(
            epoch=epoch,
            train_loss=1.0,
            val_loss=1.0,
            accuracy=accuracy,
            seconds=1.0,
            images_per_second=1.0,
        )
        for epoch in range(1, epochs + 1)
    )
    return TrialRecord(
        trial=trial,
        architecture=plain(1, 16),
        flops=flops,
        params=1,
        state=state,
        seed=0,
        curve=curve,
        seconds=took * HOUR,
        started=started * HOUR,
    )


@pytest.fixture
def run(tmp_path):
    """Two workers; the second trial ends first; then four hours of pause."""
    made = load_run(make_run(tmp_path, complete=1, stopped=0, failed=0, baselines=0))
    settings = made.settings | {"settings": {"cpus_per_trial": 3}, "recipe": {"epochs": 4}}
    records = (
        record(0, 1000, 4, 0.0, 2.0, accuracy=0.6),
        record(1, 500, 4, 0.0, 1.0),
        record(2, 800, 1, 1.0, 1.0, state="stopped"),
        record(3, 2000, 4, 6.0, 1.0, accuracy=0.7),
    )
    return dataclasses.replace(made, settings=settings, records=records)


def test_hours_are_those_in_which_something_trained(run):
    assert hours(run) == pytest.approx({1: 1.0, 0: 2.0, 2: 2.0, 3: 3.0})


def test_compute_is_summed_in_the_order_in_which_trainings_ended(run):
    rows = progress_rows(run)["compute"]
    images = run.settings["data"]["train"]
    ends = [4 * 500, 4 * 500 + 4 * 1000, 4 * 500 + 4 * 1000 + 800 + 4 * 2000]
    assert [(row["trial"], row["spent"]) for row in rows] == [
        (trial, images * end) for trial, end in zip((1, 0, 3), ends, strict=True)
    ]
    assert [row["best_accuracy"] for row in rows] == [0.5, 0.6, 0.7]


def test_all_ways_of_telling_end_alike(run):
    ends = [rows[-1]["hypervolume"] for rows in progress_rows(run).values()]
    assert ends == pytest.approx([run.hypervolume] * 3)


def test_cost_is_that_of_all_trainings_and_its_share_that_of_full_ones(run):
    cost = cost_of(run)
    took = 4 * 1000 + 4 * 500 + 800 + 4 * 2000
    assert cost.flops == took * run.settings["data"]["train"]
    assert cost.share == pytest.approx(took / (4 * (1000 + 500 + 800 + 2000)))
    assert cost.core_hours == pytest.approx(3 * 5.0)
    assert cost.gpu_hours is None


def test_most_at_once_does_not_count_one_that_begins_as_another_ends(run):
    assert most_at_once(run) == 2


def test_a_run_that_tells_no_times_has_no_hours(run):
    untold = tuple(dataclasses.replace(r, started=None) for r in run.records)
    without = dataclasses.replace(run, records=untold)
    assert set(progress_rows(without)) == {"trial", "compute"}
    assert most_at_once(without) is None


def test_what_a_teacher_took_is_compute_of_the_search(run):
    images, before = run.train_images, cost_of(run)
    last = progress_rows(run)["compute"][-1]["spent"]
    for beside, more in ((False, images * 700), (True, images * 700 * 13)):  # epochs of all
        teacher = {"name": "t", "flops": 700, "beside": beside}
        taught = dataclasses.replace(run, settings=run.settings | {"teacher": teacher})
        assert cost_of(taught).flops == before.flops + more
        assert progress_rows(taught)["compute"][-1]["spent"] == last + more
    assert cost_of(taught).share == pytest.approx(23_900 / 28_400)  # of (FLOPs + 700) x epochs
