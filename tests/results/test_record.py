"""results.record: Optuna trials become records, or nothing where nothing was trained."""

import math
import random

import pytest
from make_run import OPTUNA_STATES, plain, trial_attrs
from optuna.trial import TrialState, create_trial

from results import TrialRecord, record_from_trial


def frozen(state, *, optuna_state=None, **changes):
    attrs = trial_attrs(plain(2, 16), state, random.Random(0), 6, 10**6, seed=7)
    attrs.update(changes)
    attrs = {key: value for key, value in attrs.items() if value is not ...}
    optuna_state = OPTUNA_STATES[state] if optuna_state is None else optuna_state
    values = [0.9, 1.0] if optuna_state == TrialState.COMPLETE else None
    trial = create_trial(state=optuna_state, values=values, user_attrs=attrs)
    trial.number = 0
    return trial


def test_complete_trial_becomes_a_record_with_its_curve():
    trial = frozen("complete", worker="host:1", started=12.5, baseline="plain_d2_w16")
    record = record_from_trial(trial, {"test_accuracy:0": 0.8, "test_accuracy:1": 0.1})
    attrs = trial.user_attrs
    assert record.architecture == plain(2, 16)
    assert (record.state, record.trial, record.seed) == ("complete", 0, 7)
    assert (record.flops, record.params) == (attrs["flops"], attrs["params"])
    assert record.epochs == len(record.curve) == 6
    assert record.accuracy == attrs["curve"][-1]["accuracy"]
    assert [epoch.val_loss for epoch in record.curve] == [e["val_loss"] for e in attrs["curve"]]
    assert record.test_accuracy == 0.8
    assert (record.worker, record.started, record.baseline) == ("host:1", 12.5, "plain_d2_w16")


@pytest.mark.parametrize(
    ("state", "expected"), [("stopped", "stopped"), ("failed", "failed"), ("running", "running")]
)
def test_each_state_of_the_study_has_its_record_state(state, expected):
    assert record_from_trial(frozen(state)).state == expected


@pytest.mark.parametrize("state", ["over_budget", "duplicate"])
def test_proposal_that_was_never_trained_is_no_record(state):
    assert record_from_trial(frozen(state)) is None


def test_trial_asked_for_but_not_yet_described_is_no_record():
    assert record_from_trial(create_trial(state=TrialState.RUNNING)) is None


@pytest.mark.parametrize("state", ["running", "failed"])
@pytest.mark.parametrize("missing", ["architecture", "flops", "params", "seed"])
def test_trial_described_in_part_is_no_record(state, missing):
    assert record_from_trial(frozen(state, **{missing: ...})) is None


def test_failed_trial_that_was_asked_again_is_no_record():
    assert record_from_trial(frozen("failed"), {"retried:0": True}) is None
    assert record_from_trial(frozen("failed"), {"retried:1": True}) is not None


def test_attribute_complete_of_a_trial_not_told_yet_still_counts_as_running():
    trial = frozen("complete", optuna_state=TrialState.RUNNING)
    assert record_from_trial(trial).state == "running"


def test_running_trial_has_no_accuracy_before_its_first_epoch():
    record = record_from_trial(frozen("running"))
    assert record.accuracy is None
    assert record.epochs == 0


def test_failure_keeps_its_reason():
    record = record_from_trial(frozen("failed", error="NaN", error_kind="nan", traceback="T"))
    assert (record.error, record.error_kind, record.traceback) == ("NaN", "nan", "T")


def test_nan_loss_is_read_back_as_nan():
    trial = frozen("failed")
    trial.user_attrs["curve"][-1]["train_loss"] = math.nan
    assert math.isnan(record_from_trial(trial).curve[-1].train_loss)


@pytest.mark.parametrize("missing", ["architecture", "flops", "params", "seed"])
def test_missing_attribute_is_named_with_the_trial(missing):
    with pytest.raises(
        ValueError, match=f"Trial 0 of the study must have the attribute '{missing}"
    ):
        record_from_trial(frozen("complete", **{missing: ...}))


@pytest.mark.parametrize(
    "broken",
    [{"flops": "many"}, {"flops": -1}, {"architecture": {"depth": 3}}, {"curve": [{"epoch": 1}]}],
)
def test_broken_attribute_is_refused_with_the_trial_named(broken):
    with pytest.raises(ValueError, match="Trial 0 of the study"):
        record_from_trial(frozen("complete", **broken))


def test_unknown_state_is_refused():
    with pytest.raises(ValueError, match=r"`state` must be one of \['running', .* got 'done'"):
        TrialRecord(trial=0, architecture=plain(1, 16), flops=1, params=1, state="done", seed=0)
