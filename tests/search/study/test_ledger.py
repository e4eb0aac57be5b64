import dataclasses

import optuna
import pytest
from few import FEW
from optuna.trial import TrialState

from results import pareto_front
from search.decide.baselines import baselines
from search.settings import SAMPLERS, SearchSettings
from search.study.ledger import Ledger
from space import NAMED, SearchSpace, count_flops, count_params

DIGITS = SearchSpace.load("digits")
TINY = SearchSpace(
    img_size=(8,), patch_size=(2,), embed_dim=(16, 32), depth=(1, 2), num_heads=(2,),
    mlp_ratio=(1, 2), in_chans=1, num_classes=10,
)  # fmt: skip


def settings(**changes):
    return SearchSettings(**{"budget": 2_000_000, "space": FEW, "trials": 8, **changes})


def study(storage=None):
    return optuna.create_study(
        study_name="run", storage=storage, directions=["maximize", "minimize"], load_if_exists=True
    )


def epoch(number, accuracy):
    return {
        "epoch": number, "train_loss": 1.0, "val_loss": 1.0, "accuracy": accuracy,
        "seconds": 0.1, "images_per_second": 10.0,
    }  # fmt: skip


def score(architecture):
    """A made-up accuracy that grows with cost."""
    return 1 - 1 / (2 + count_flops(architecture) / 1e5)


def run(ledger, *, at_a_time=1):
    """Trains until the ledger has no more, in order."""
    while True:
        while len(ledger.live) < at_a_time and (live := ledger.ask()) is not None:
            ledger.report(live.trial.number, epoch(1, score(live.architecture)))
        if not ledger.live:
            return
        ledger.complete(min(ledger.live))


@pytest.mark.parametrize(
    "sampler",
    [pytest.param(name, marks=[pytest.mark.slow] if name == "gp" else []) for name in SAMPLERS],
)
def test_every_sampler_proposes_untried_networks_within_the_budget(sampler):
    ledger = Ledger(study(), settings(sampler=sampler, trials=14, max_params=60_000))
    run(ledger, at_a_time=3)
    assert len(ledger.finished) == 14
    assert ledger.counts() == {"complete": 14}
    keys = {FEW.key(record.architecture) for record in ledger.finished}
    assert len(keys) == 14
    assert all(record.flops <= 2_000_000 for record in ledger.finished)
    assert all(record.params <= 60_000 for record in ledger.finished)
    assert all(record.params == count_params(record.architecture) for record in ledger.finished)


@pytest.mark.parametrize("sampler", ["tpe", "random", "frontier"])
def test_same_seed_same_records_another_seed_others(sampler):
    def records(seed):
        ledger = Ledger(study(), settings(sampler=sampler, trials=12, seed=seed))
        run(ledger)
        return [(r.trial, r.seed, r.architecture) for r in ledger.finished]

    first = records(3)
    assert records(3) == first
    assert records(4) != first


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sampler", ["tpe", "random", "frontier"])
@pytest.mark.parametrize(
    "genes",
    [
        {"mlp_ratio": (8 / 3, 4)},
        {"mlp_ratio": (1, 4 / 3, 5 / 3, 2)},
        {"mlp_ratio": (1.5, 2, 2.5)},
        {"residual_scale": (0.5**0.5, 1.0)},
        {"residual_scale": tuple(i / 10 for i in range(1, 9))},
        {"residual_scale": (0.25, 0.5, 0.75)},
    ],
)
def test_numbers_that_are_on_no_grid_of_optunas_are_choices_all_the_same(genes, sampler):
    space = dataclasses.replace(TINY, **genes)
    ledger = Ledger(study(), settings(space=space, trials=200, sampler=sampler))
    run(ledger)
    found = [record.architecture for record in ledger.finished]
    assert all(architecture in space for architecture in found)
    assert len(found) == len({space.key(a) for a in found}) == space.size()


def test_over_budget_proposals_are_counted_and_never_handed_out():
    ledger = Ledger(study(), settings(sampler="random", budget=300_000, trials=5))
    run(ledger)
    told = [t for t in ledger.study.trials if t.user_attrs["state"] == "over_budget"]
    assert ledger.over_budget == len(told) > 0
    assert all(t.user_attrs["flops"] > 300_000 and "curve" not in t.user_attrs for t in told)
    assert all(t.constraints == {"0": t.user_attrs["flops"] - 300_000} for t in told)
    assert all(t.system_attrs["constraints"][0] > 0 for t in told)  # what optuna-dashboard reads
    assert not any(t.number in {r.trial for r in ledger.finished} for t in told)
    best = {t.number for t in ledger.study.best_trials}
    assert best == {r.trial for r in pareto_front(ledger.finished)}


def test_a_budget_that_hides_nearly_all_of_the_space_is_still_searched():
    budget = int(count_flops(DIGITS.smallest()) * 1.3)
    ledger = Ledger(study(), settings(space=DIGITS, sampler="random", budget=budget, trials=6))
    run(ledger)
    assert len(ledger.finished) == 6


def test_an_exhausted_space_ends_the_search_with_every_network_once():
    ledger = Ledger(study(), settings(space=TINY, trials=100, sampler="random"))
    run(ledger, at_a_time=2)
    keys = [TINY.key(record.architecture) for record in ledger.finished]
    assert len(keys) == len(set(keys)) == TINY.size() == 8
    assert ledger.exhausted
    assert ledger.remaining == 0


@pytest.mark.parametrize("sampler", ["random", "frontier"])
def test_a_network_given_back_is_asked_again_though_the_space_was_exhausted(sampler):
    ledger = Ledger(study(), settings(space=TINY, trials=100, sampler=sampler))
    *_, last = iter(ledger.ask, None)
    assert ledger.exhausted
    ledger.release(last.trial.number)
    again = ledger.ask()
    assert again.architecture == last.architecture
    assert len(ledger.live) == TINY.size()
    assert ledger.ask() is None


def test_a_stopped_trial_keeps_its_curve_and_has_no_value():
    ledger = Ledger(study(), settings())
    live = ledger.ask()
    ledger.report(live.trial.number, epoch(1, 0.9))
    record = ledger.stop(live.trial.number)
    told = ledger.study.trials[record.trial]
    assert (record.state, record.epochs, record.accuracy) == ("stopped", 1, 0.9)
    assert told.state == TrialState.PRUNED
    assert told.values is None
    assert ledger.front == []


def test_a_failed_trial_is_a_record_with_its_reason_and_no_zombie():
    ledger = Ledger(study(), settings())
    live = ledger.ask()
    record = ledger.fail(live.trial.number, kind="nan", error="the loss is nan", traceback="...")
    assert (record.state, record.error_kind, record.error) == ("failed", "nan", "the loss is nan")
    assert ledger.study.trials[record.trial].state == TrialState.FAIL
    assert ledger.stop_reason is None


def test_the_same_failure_five_times_in_a_row_stops_the_run():
    ledger = Ledger(study(), settings(trials=20))
    for i in range(4):
        ledger.fail(ledger.ask().trial.number, kind="nan", error="alike")
        assert ledger.stop_reason is None, i
    ledger.fail(ledger.ask().trial.number, kind="nan", error="another")
    for _ in range(5):
        ledger.fail(ledger.ask().trial.number, kind="nan", error="alike")
    assert "5 trials in a row failed alike: alike" in ledger.stop_reason
    assert ledger.ask() is None


def test_a_dead_driver_leaves_nothing_running_and_nothing_lost(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = Ledger(study(storage), settings(trials=6, sampler="tpe"))
    for label, network in baselines(FEW, 2_000_000, most=1).items():
        ledger.enqueue(network, label)
    first, second = ledger.ask(), ledger.ask()
    ledger.report(second.trial.number, epoch(1, 0.5))
    ledger.complete(second.trial.number)
    del ledger  # the driver dies while the first trial runs
    again = Ledger(study(storage), settings(trials=6, sampler="tpe"))
    assert [record.trial for record in again.finished] == [second.trial.number]
    assert not [t for t in again.study.trials if t.state == TrialState.RUNNING]
    asked = again.ask()
    assert asked.architecture == first.architecture
    assert asked.baseline == first.baseline
    again.release(asked.trial.number)
    run(again)
    keys = [FEW.key(record.architecture) for record in again.finished]
    assert len(keys) == len(set(keys)) == 6
    assert FEW.key(first.architecture) in keys


def test_a_network_that_had_too_little_memory_keeps_its_half_batches(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = Ledger(study(storage), settings(sampler="random"))
    first = ledger.ask()
    ledger.release(first.trial.number, parts=2)
    again = ledger.ask()
    assert (first.parts, again.parts, again.architecture) == (1, 2, first.architecture)
    ledger.release(again.trial.number)  # for another reason
    assert ledger.ask().parts == 2
    resumed = Ledger(study(storage), settings(sampler="random"))  # of a dead driver
    assert [resumed.ask().parts, resumed.ask().parts] == [2, 1]


def test_a_network_that_is_asked_again_keeps_its_seed_unless_it_failed(tmp_path):
    """Else what is kept of its training would be of another one."""
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = Ledger(study(storage), settings(sampler="random"))
    first, second = ledger.ask(), ledger.ask()
    assert first.seed != second.seed
    ledger.release(first.trial.number, crashed=True)
    again = ledger.ask()
    assert (again.architecture, again.seed) == (first.architecture, first.seed)
    resumed = Ledger(study(storage), settings(sampler="random"))  # of a dead driver
    seeds = {live.architecture: live.seed for live in (resumed.ask(), resumed.ask())}
    assert seeds == {first.architecture: first.seed, second.architecture: second.seed}
    resumed.fail(min(resumed.live), kind="nan", error="by chance")
    assert resumed.forget_failures() == 1
    assert resumed.ask().seed not in seeds.values()


def test_failed_trials_can_be_asked_again(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = Ledger(study(storage), settings(trials=3))
    failed = ledger.ask()
    ledger.fail(failed.trial.number, kind="crash", error="gone")
    run(ledger)
    again = Ledger(study(storage), settings(trials=3))
    assert again.forget_failures() == 1
    assert again.remaining == 1
    once_more = Ledger(study(storage), settings(trials=3))
    run(once_more)
    assert once_more.counts() == {"complete": 3}
    assert once_more.finished[-1].architecture == failed.architecture


def test_baselines_are_plain_networks_of_the_space_under_the_budget():
    for budget in (400_000, 2_000_000, 10**9):
        ladder = baselines(DIGITS, budget, most=4)
        costs = [count_flops(a) for a in ladder.values()]
        assert 1 <= len(ladder) <= 4
        assert costs == sorted(costs, reverse=True)
        for network in ladder.values():
            assert network in DIGITS
            assert count_flops(network) <= budget
            assert not network.reattention
            assert not network.pools


def test_baselines_have_no_more_parameters_than_are_asked_for():
    ladder = baselines(DIGITS, 2_000_000, most=4, max_params=20_000)
    assert len(ladder) >= 2
    assert all(count_params(network) <= 20_000 for network in ladder.values())
    space = SearchSpace.load("hvt_deit_tiny")
    assert "deit_tiny" not in baselines(space, 1_300_000_000, most=6, max_params=5_000_000)


def test_baselines_at_224_pixels_are_the_named_models_that_fit():
    space = SearchSpace.load("hvt_deit_tiny")
    ladder = baselines(space, 1_300_000_000, most=6)
    assert ladder["deit_tiny"] == NAMED["deit_tiny"]
    assert ladder["hvt_ti_1"] == NAMED["hvt_ti_1"]
    assert "hvt_s_0" not in ladder


@pytest.mark.parametrize("sampler", ["frontier", "tpe", "nsga2"])
def test_trials_that_others_added_are_left_out_and_said(sampler):
    there = study()
    run(Ledger(there, settings(space=DIGITS, sampler=sampler, trials=3)))
    depth, n = there.trials[0].distributions["depth"], len(there.trials)
    there.add_trial(
        optuna.trial.create_trial(
            params={"depth": 2}, distributions={"depth": depth}, values=[0.99, 1000.0]
        )
    )
    there.enqueue_trial({"depth": 2000})
    there.enqueue_trial({"depth": [2], "reattention": "nowhere"})
    there.enqueue_trial({"depth": 2})
    ledger = Ledger(there, settings(space=DIGITS, sampler=sampler, trials=6))
    assert ledger.left_out == [
        f"Left out: trial {n} of the study, which no search wrote.",
        f"Trial {n + 1}, which was enqueued, is left out: the space 'digits' has no depth=2000.",
        f"Trial {n + 2}, which was enqueued, is left out: the space 'digits' has no depth=[2], "
        "reattention='nowhere'.",
    ]
    assert ledger.front[-1].trial < n
    run(ledger)
    assert len(ledger.finished) == 6
    assert there.trials[n + 3].params["depth"] == 2
    again = Ledger(there, settings(space=DIGITS, sampler=sampler, trials=6))
    assert again.left_out == ledger.left_out[:1]


def test_what_was_built_stands_beside_the_genes():
    there = study()
    run(Ledger(there, settings(space=DIGITS, sampler="random", trials=12)))
    for trial in there.trials:
        a = DIGITS.decode(trial.params)
        pools = [block for block, _, _ in a.after_blocks()]
        built = {"reattention": list(a.blocks_of("reattention")), "pool": pools}
        assert trial.user_attrs["built"] == built
    assert any(trial.user_attrs["built"]["pool"] for trial in there.trials)
