"""results.table: a run as a DataFrame has the columns of trials.csv, with types to compute with."""

import csv
import io
import sys

import pytest
from make_run import make_run

from results import load_run
from results.table import trials_csv


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run"), running=1))


def test_frame_has_a_row_a_trial_and_the_columns_of_the_csv(run):
    table = run.to_frame()
    header = next(csv.reader(io.StringIO(trials_csv(run.records, run.front))))
    assert list(table.columns) == header
    assert table["trial"].tolist() == [record.trial for record in run.records]
    assert table["architecture"].tolist() == [record.architecture for record in run.records]


def test_frame_has_types_to_compute_with(run):
    table = run.to_frame()
    assert table.query("on_front")["flops"].sum() == sum(record.flops for record in run.front)
    assert table["accuracy"].max() == max(r.accuracy for r in run.records if r.accuracy)
    running = table[table["state"] == "running"]
    assert running["accuracy"].isna().all()
    assert running["seconds"].isna().all()
    kinds = {name: table[name].dtype.kind for name in ("flops", "accuracy", "on_front", "depth")}
    assert kinds == {"flops": "i", "accuracy": "f", "on_front": "b", "depth": "i"}


def test_frame_of_nothing_has_the_same_columns_and_types(tmp_path, run):
    shape = {"complete": 0, "stopped": 0, "failed": 0, "baselines": 0}
    table = load_run(make_run(tmp_path, **shape)).to_frame()
    assert len(table) == 0
    assert table["flops"].dtype == run.to_frame()["flops"].dtype


def test_without_pandas_it_is_said_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        run.to_frame()
