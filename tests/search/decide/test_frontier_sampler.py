"""The sampler through Optuna's interface, on the digits space and on a small made-up table."""

import itertools

import numpy as np
import optuna
import pytest
from few import FEW
from optuna.trial import TrialState, create_trial

from benchmarks.search_efficiency import search
from benchmarks.tabular import TableProblem, nas_bench_macro, synthetic
from search.decide import frontier_sampler as module
from search.decide.baselines import baselines
from search.decide.frontier_sampler import FrontierSampler, SpaceExhaustedError
from search.decide.problem import SpaceProblem
from search.decide.surrogate import most_telling
from space import SearchSpace, count_flops

BUDGET = 2_000_000
optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module")
def digits():
    return SpaceProblem(SearchSpace.load("digits"), budget=BUDGET)


@pytest.fixture(scope="module")
def few():
    """A problem whose networks the sampler knows all: quick where that makes no difference."""
    return SpaceProblem(FEW, budget=1_000_000)


def accuracy_of(problem, item):
    """A made-up accuracy: larger is better, pools are good."""
    size = np.log10(problem.cost(item)) - 5.5
    return float(1 / (1 + np.exp(-size - 0.3 * len(item.architecture.pools))))


def new_study(sampler, **options):
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler, **options)


def ask(study, problem):
    trial = study.ask(problem.distributions)
    return trial, problem.decode(trial.params)


def run(study, problem, trials):
    keys = []
    for _ in range(trials):
        trial, item = ask(study, problem)
        keys.append(problem.key(item))
        study.tell(trial, (accuracy_of(problem, item), problem.cost(item)))
    return keys


def small_problem(depth=(1, 2, 3), budget=10**9):
    space = SearchSpace(
        img_size=(8,),
        patch_size=(2,),
        in_chans=1,
        num_classes=10,
        embed_dim=(16, 32),
        depth=depth,
        head_dim=(8,),
    )
    return SpaceProblem(space, budget=budget)


def test_proposals_fit_and_never_repeat(digits):
    study = new_study(FrontierSampler(digits, seed=1))
    keys = run(study, digits, 16)
    assert len(set(keys)) == 16
    costs = [count_flops(digits.decode(trial.params).architecture) for trial in study.trials]
    assert max(costs) <= BUDGET


def test_first_picks_span_log_flops(digits):
    study = new_study(FrontierSampler(digits, seed=2))
    run(study, digits, module.STRATA)
    costs = np.sort([np.log10(trial.values[1]) for trial in study.trials])
    sampler = study.sampler
    bands = [sampler._band(cost) for cost in costs]
    assert sorted(bands) == list(range(module.STRATA))


def test_what_the_first_picks_leave_alike_is_varied():
    """Baselines of every large size, all behind patches: another stem is tried all the same."""
    space = SearchSpace.load("photos").fit(img_size=32, in_chans=3, num_classes=10)
    problem = SpaceProblem(space, budget=15_000_000)
    study = new_study(FrontierSampler(problem, seed=0))
    plain = baselines(space, 15_000_000, most=9)
    for architecture in plain.values():
        study.enqueue_trial(space.encode(architecture))
    asked = []
    for _ in range(10):
        trial, item = ask(study, problem)
        asked.append(item.architecture.stem.kind)
        study.tell(trial, (0.1 * np.log10(problem.cost(item)) - 0.3, problem.cost(item)))
    assert set(asked[:8]) == {"patch"}
    assert "tokenizer" in asked[8:]


@pytest.mark.slow
def test_same_seed_gives_the_same_after_a_restart_and_another_seed_others(digits, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    whole = run(new_study(FrontierSampler(digits, seed=5)), digits, 14)
    first = new_study(FrontierSampler(digits, seed=5), storage=url, study_name="s")
    keys = run(first, digits, 11)
    again = optuna.load_study(study_name="s", storage=url, sampler=FrontierSampler(digits, seed=5))
    assert keys + run(again, digits, 3) == whole
    assert run(new_study(FrontierSampler(digits, seed=6)), digits, 3) != whole[:3]


def test_running_trials_are_not_asked_again_and_spread_the_next_picks(few):
    study = new_study(FrontierSampler(few, seed=3))
    run(study, few, 10)
    items = [ask(study, few)[1] for _ in range(16)]
    assert len({few.key(item) for item in items}) == 16
    costs = {round(np.log10(few.cost(item)), 2) for item in items}
    assert len(costs) >= 8


def test_surrogate_believes_what_is_running(few, monkeypatch):
    study = new_study(FrontierSampler(few, seed=3))
    run(study, few, 12)
    believed = []
    believe = module.Surrogate.believe

    def count(surrogate, features):
        believed.append(len(features))
        believe(surrogate, features)

    monkeypatch.setattr(module.Surrogate, "believe", count)
    for _ in range(3):
        ask(study, few)
    assert believed == [1, 2]


@pytest.mark.slow
def test_sixty_four_workers_may_ask_before_anything_is_known(digits):
    study = new_study(FrontierSampler(digits, seed=3))
    items = [ask(study, digits)[1] for _ in range(64)]
    assert len({digits.key(item) for item in items}) == 64


def test_waiting_trials_are_not_proposed():
    problem = small_problem()
    study = new_study(FrontierSampler(problem))
    items = list(problem.enumerate())
    for item in items[:-1]:
        study.add_trial(
            create_trial(
                state=TrialState.WAITING, system_attrs={"fixed_params": problem.encode(item)}
            )
        )
    history = study.sampler._read(study, create_trial(state=TrialState.RUNNING))
    chosen = study.sampler._choose(history, 99)
    assert chosen.key == problem.key(items[-1])


def test_failed_trials_count_as_tried_and_measure_nothing(few):
    study = new_study(FrontierSampler(few, seed=4))
    keys = []
    for i in range(20):
        trial, item = ask(study, few)
        keys.append(few.key(item))
        if i % 2:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, (accuracy_of(few, item), few.cost(item)))
    assert len(set(keys)) == 20
    history = study.sampler._read(study, create_trial(state=TrialState.RUNNING))
    assert len(history.tried) == 20
    assert len(history.observations) == 10


def test_over_budget_trials_are_ignored(few):
    with_them, without = (new_study(FrontierSampler(few, seed=4)) for _ in range(2))
    for study in (with_them, without):
        run(study, few, 12)
    large = next(
        item
        for item in (few.sample(np.random.default_rng(i)) for i in itertools.count())
        if not few.fits(item)
    )
    with_them.add_trial(
        create_trial(
            values=[0.0, few.cost(large)],
            params=few.encode(large),
            distributions=few.distributions,
            user_attrs={"state": "over_budget"},
        )
    )
    reads = [
        s.sampler._read(s, create_trial(state=TrialState.RUNNING)) for s in (with_them, without)
    ]
    assert reads[0].tried == reads[1].tried
    assert len(reads[0].observations) == len(reads[1].observations) == 12


def stopped_trial(problem, item, accuracies):
    curve = [{"epoch": i + 1, "accuracy": a} for i, a in enumerate(accuracies)]
    return create_trial(
        state=TrialState.PRUNED,
        params=problem.encode(item),
        distributions=problem.distributions,
        user_attrs={"curve": curve, "state": "stopped"},
    )


def test_stopped_trials_inform_but_never_stand_on_the_front(digits):
    study = new_study(FrontierSampler(digits, seed=7))
    for _ in range(12):
        trial, item = ask(study, digits)
        value = accuracy_of(digits, item)
        curve = [{"epoch": e, "accuracy": value * (0.5 + e / 18)} for e in range(1, 10)]
        trial.set_user_attr("curve", curve)
        study.tell(trial, (value, digits.cost(item)))
    rng = np.random.default_rng(0)
    items = [item for item in (digits.sample(rng) for _ in range(60)) if digits.fits(item)][:8]
    for item in items:
        study.add_trial(stopped_trial(digits, item, [accuracy_of(digits, item) * 0.55] * 3))
    history = study.sampler._read(study, create_trial(state=TrialState.RUNNING))
    assert history.full_epochs == 9
    assert len(history.complete) == 12
    # 12 values, the same 12 at the epoch of the stopped ones, and those.
    assert len(history.observations) == 12 + 12 + len({digits.key(item) for item in items})
    surrogate = module._fit(history)
    stopped = [study.sampler._describe(digits.encode(item)) for item in items]
    mean, _ = surrogate.predict(module._inputs(stopped, history))
    early, _ = surrogate.predict(module._inputs(stopped, history, [3] * len(stopped)))
    truth = np.array([accuracy_of(digits, item) for item in items])
    assert (mean > early).all()
    assert np.abs(mean - truth).mean() < np.abs(early - truth).mean()
    _, item = ask(study, digits)
    assert digits.key(item) not in {digits.key(i) for i in items}


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, None])
def test_degenerate_accuracies_do_not_break_it(few, value):
    study = new_study(FrontierSampler(few, seed=8, reference_accuracy=0.1))
    keys = []
    for i in range(14):
        trial, item = ask(study, few)
        keys.append(few.key(item))
        accuracy = float(i % 2) if value is None else value
        trial.set_user_attr("curve", [{"epoch": 1, "accuracy": float("nan")}])
        study.tell(trial, (accuracy, few.cost(item)))
    assert len(set(keys)) == 14


@pytest.mark.parametrize("budget", [10**9, None])
def test_exhausted_space_says_so_and_leaves_no_zombie(budget):
    problem = small_problem()
    if budget is None:  # a single network fits
        problem = small_problem(budget=int(problem.cost(problem.smallest())))
    count = sum(problem.fits(item) for item in problem.enumerate())
    study = new_study(FrontierSampler(problem))
    for _ in range(count):
        trial, _ = ask(study, problem)
        study.tell(trial, (0.5, 1.0))
    with pytest.raises(SpaceExhaustedError, match=f"has been tried \\({count}\\)"):
        ask(study, problem)
    assert study.trials[-1].state == TrialState.FAIL


def test_budget_that_nothing_fits_is_an_error():
    with pytest.raises(ValueError, match="raise the budget"):
        FrontierSampler(small_problem(budget=10))


def test_wrong_directions_are_an_error(digits):
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.sampler = FrontierSampler(digits)
    with pytest.raises(ValueError, match="directions"):
        study.ask(digits.distributions)


def test_wrong_reference_is_an_error(digits):
    with pytest.raises(ValueError, match="reference_accuracy"):
        FrontierSampler(digits, reference_accuracy=1.0)


@pytest.mark.slow
def test_plain_optimize_works_with_threads():
    problem = TableProblem(synthetic(1))

    def objective(trial):
        row = problem.decode(
            {
                name: trial.suggest_int(name, dist.low, dist.high)
                for name, dist in problem.distributions.items()
            }
        )
        return float(problem.table.truth[row]), problem.cost(row)

    study = new_study(FrontierSampler(problem, seed=0))
    study.optimize(objective, n_trials=14, n_jobs=2)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert {trial.values[1] <= problem.budget for trial in study.trials} == {True}


def test_cap_keeps_the_frontier_and_the_spread():
    rng = np.random.default_rng(0)
    costs = rng.random(2000)
    accuracies = costs * 0.5 + 0.3 * rng.random(2000)
    rows = most_telling(costs, accuracies, 300)
    assert len(np.unique(rows)) == 300
    order = np.argsort(costs)
    best = np.maximum.accumulate(accuracies[order])
    corners = order[np.flatnonzero(np.diff(best, prepend=0.0) > 0)]
    assert np.isin(corners, rows).all()
    assert np.ptp(costs[rows]) > 0.99


def test_reaches_the_frontier_with_fewer_trials_than_random_search():
    table = nas_bench_macro()
    best = table.hypervolume(table.fitting)
    shares = {
        name: np.mean(
            [
                table.hypervolume(search(table, name, seed=seed, workers=1, evaluations=25)[0])
                for seed in range(2)
            ]
        )
        / best
        for name in ("frontier", "random")
    }
    assert shares["frontier"] > 0.88
    assert shares["frontier"] > shares["random"] + 0.15
