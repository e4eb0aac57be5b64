"""results.scaling: a law that is there is found, its intervals cover, far budgets are refused."""

import numpy as np
import pytest
from make_run import make_run

from results import load_run, render_report
from results.scaling import FACTOR, fit_scaling, scaling_of

FLOPS = 10 ** np.linspace(4.5, 6.3, 10)


def error_at(flops):
    return 0.5 * (flops / FLOPS[0] + 0.3) ** -0.4 + 0.05


def test_a_law_without_noise_is_found_and_goes_on():
    found = fit_scaling(FLOPS, 1 - error_at(FLOPS), np.full(10, 1e-4))
    for flops in (FLOPS[0], FLOPS[-1], 2 * FLOPS[-1]):
        assert found.at(flops).accuracy == pytest.approx(1 - error_at(flops), abs=0.004)


def test_intervals_cover_and_widen_beyond_what_was_trained():
    covered = []
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(0, 0.01, 10)
        found = fit_scaling(FLOPS, 1 - error_at(FLOPS) + noise, np.full(10, 0.01), seed=seed)
        far, near = found.at(2 * FLOPS[-1]), found.at(FLOPS[5])
        covered.append(far.low <= 1 - error_at(2 * FLOPS[-1]) <= far.high)
        assert far.high - far.low > near.high - near.low
    assert np.mean(covered) >= 0.8


def test_budgets_beyond_the_factor_are_refused():
    found = fit_scaling(FLOPS, 1 - error_at(FLOPS), np.full(10, 0.01))
    with pytest.raises(ValueError, match="search with that budget instead"):
        found.at(FLOPS[-1] * FACTOR * 1.01)


def test_a_frontier_with_few_members_has_no_law(tmp_path):
    assert scaling_of(load_run(make_run(tmp_path, complete=2))) is None


def test_the_report_tells_what_twice_the_budget_would_buy(tmp_path):
    run = load_run(make_run(tmp_path))
    assert len(run.front) >= 5
    assert "What another budget would buy" in render_report(run)
