"""results.curve_chart: numbers do not touch, epochs are whole, stopped trials are grey."""

from itertools import pairwise

from make_run import make_run

from results import load_run
from results.chart_data import ChartData
from results.curve_chart import curves_spec, end_rows


def test_numbers_stand_apart_and_in_the_order_of_the_curves():
    rows = [
        {"trial": trial, "epoch": 3, "accuracy": accuracy}
        for trial, accuracy in ((1, 0.5), (2, 0.9), (3, 0.905), (4, 0.899))
    ]
    ends = end_rows(rows, (0.4, 1.0))
    assert [row["trial"] for row in ends] == [3, 2, 4, 1]
    gaps = [a["accuracy"] - b["accuracy"] for a, b in pairwise(ends)]
    assert min(gaps) > 0.6 * 14 / 200


def test_epochs_are_whole_and_stopped_trials_are_drawn(tmp_path):
    run = load_run(make_run(tmp_path, epochs=3, stopped=4))
    spec = curves_spec(ChartData.of(run))
    axes = [layer["encoding"]["x"]["axis"]["values"] for layer in spec["layer"]]
    assert axes == [[1, 2, 3]] * 3
    stopped = {r.trial for r in run.records if r.state == "stopped"}
    assert {row["trial"] for row in spec["datasets"]["stopped"]} == stopped
