"""Measured cost in the report: a column, a plot, and where FLOPs mislead."""

import pytest
from make_run import make_run
from test_latency import row

from results import load_run, render_report
from results.latency import write_profile
from results.latency_chart import latency_rows, latency_spec, step_rows


@pytest.fixture
def run(tmp_path):
    folder = make_run(tmp_path / "run")
    records = [r for r in load_run(folder).records if r.state == "complete"]
    # the more FLOPs, the faster
    write_profile(folder, [row(r.trial, r.flops, 1e3 / r.flops) for r in records])
    return load_run(folder)


def test_the_report_has_latencies_in_its_tables_a_plot_and_says_where_flops_mislead(run):
    page = render_report(run)
    assert page.count('<th scope="col" class="n">Latency</th>') == 2  # members and baselines
    assert 'id="chart-latency-0"' in page
    assert "FLOPs rank latency with Kendall&#39;s tau -1.00" in page
    assert "FLOPs mislead in" in page


def test_a_report_without_a_profile_says_nothing_of_latency(tmp_path):
    page = render_report(load_run(make_run(tmp_path / "run")))
    assert "Latency" not in page.split("</style>")[1].split("<script>")[0]


def test_points_are_trials_that_were_measured_and_the_staircase_is_over_latency(run):
    measured = [row(r.trial, r.flops, 1e3 / r.flops) for r in run.front]
    rows = latency_rows(run, measured)
    assert {r["trial"] for r in rows} == {r.trial for r in run.front}
    steps = step_rows(rows)  # the costliest is the fastest and the best: it stands alone
    assert [step["accuracy"] for step in steps] == [run.front[-1].accuracy]
    assert latency_spec(run, [row(10**6, 1, 1.0)]) is None
