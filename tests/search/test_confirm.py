"""The source of jobs of a confirmation, without Ray: what is asked, in which order; going on."""

import hashlib
import shutil

import pytest
from make_confirmed import confirmation, epoch, work_off
from make_run import make_run
from optuna.trial import TrialState

from results import load_run
from search.confirm import training_seed
from search.study.jobs import seed_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run", complete=20)


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def test_every_network_is_trained_once_before_any_is_trained_twice_members_first(run):
    jobs = confirmation(run)
    front = {record.trial for record in load_run(run).front}
    trained = work_off(jobs)
    networks = len(set(trained))
    assert len(set(trained[:networks])) == networks
    assert set(trained[: len(front)]) == front
    assert max(trained.count(trial) for trial in trained) <= 3


def test_seeds_are_a_function_of_run_trial_and_repeat_and_never_the_searchs(run):
    def seeds(folder, seed):
        jobs = confirmation(folder, seed=seed)
        work_off(jobs)
        numbers = {r.trial: (jobs.study.trials[r.trial].params, r.seed) for r in jobs.finished}
        return {(p["trial"], p["repeat"]): seed for p, seed in numbers.values()}

    first = seeds(run, 0)
    assert len(set(first.values())) == len(first)
    (run / "confirm.db").unlink()
    other = seeds(run, 1)
    assert all(first[key] != other[key] for key in first.keys() & other.keys())
    own = seed_of(5, 7, 1, 2)
    assert training_seed(5, 7, 1, own=own + 1) == own
    assert training_seed(5, 7, 1, own=own) != own


def test_a_dead_driver_leaves_nothing_running_and_the_same_training_is_asked_again(run):
    jobs = confirmation(run)
    work_off(jobs, most=4)
    lost = [jobs.ask(), jobs.ask()]
    wanted = [(live.trial.params, live.seed) for live in lost]
    again = confirmation(run)  # the first one is gone
    assert not [t for t in again.study.trials if t.state == TrialState.RUNNING]
    assert len(again.finished) == 4
    asked = [again.ask(), again.ask()]
    assert [(live.trial.params, live.seed) for live in asked] == wanted
    again.release_all()
    work_off(again)
    keys = [tuple(again.study.trials[r.trial].params.values()) for r in again.finished]
    assert len(keys) == len(set(keys))


def test_going_on_trains_as_many_in_all_as_at_one_go(made, run, tmp_path):
    whole = confirmation(shutil.copytree(made, tmp_path / "other"))
    work_off(whole)
    work_off(confirmation(run), most=9)
    cut = confirmation(run)
    work_off(cut)

    def found(jobs):
        return {(*jobs.study.trials[r.trial].params.values(), r.accuracy) for r in jobs.finished}

    assert found(cut) == found(whole)


def test_a_training_that_ran_out_of_memory_is_asked_again_in_parts(run):
    jobs = confirmation(run)
    live = jobs.ask()
    jobs.release(live.trial.number, parts=2)
    again = jobs.ask()
    assert (again.trial.params, again.parts) == (live.trial.params, 2)


def test_a_failed_training_is_followed_by_one_of_another_seed(run):
    jobs = confirmation(run)
    live = jobs.ask()
    jobs.fail(live.trial.number, kind="nan", error="the loss is nan")
    trained = work_off(jobs)
    network = live.trial.params["trial"]
    assert 1 <= trained.count(network) <= 2  # of three, one is spent
    assert jobs.counts()["failed"] == 1
    found = load_run(run).confirmed.by_trial[network]
    assert (found.failed, len(found.trainings)) == (1, trained.count(network))
    assert live.seed not in {training.seed for training in found.trainings}


def test_the_same_failure_five_times_in_a_row_stops_it(run):
    jobs = confirmation(run)
    for _ in range(5):
        jobs.fail(jobs.ask().trial.number, kind="crash", error="no")
    assert jobs.stop_reason is not None
    assert (jobs.ask(), jobs.remaining) == (None, 0)


def test_the_search_keeps_its_study_untouched(run):
    def digest():
        return hashlib.sha256((run / "study.db").read_bytes()).hexdigest()

    before = digest()
    work_off(confirmation(run))
    assert digest() == before


def test_members_and_baselines_are_tested_and_controls_off_the_staircase_are_not(run):
    jobs = confirmation(run)
    work_off(jobs)
    found = load_run(run).confirmed
    tested = {jobs.study.trials[r.trial].params["trial"] for r in jobs.tested()}
    for network in found.networks:
        is_told = network.role in ("member", "baseline") or network.on_staircase
        assert (network.record.trial in tested) == is_told
    assert {r.trial for r in jobs.tested()} <= jobs.kept()
    assert jobs.untested()


def test_more_seeds_go_on_where_fewer_ended(run):
    work_off(confirmation(run, seeds=1))
    more = confirmation(run, seeds=2)
    before = len(more.finished)
    assert work_off(more)
    assert len(more.finished) > before


def test_what_is_running_is_not_asked_twice(run):
    jobs = confirmation(run)
    live = [jobs.ask() for _ in range(6)]
    keys = [(one.trial.params["trial"], one.trial.params["repeat"]) for one in live]
    assert len(set(keys)) == 6
    jobs.report(live[0].trial.number, epoch(0.5))
    assert jobs.complete(live[0].trial.number).accuracy == 0.5
