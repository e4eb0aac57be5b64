"""results.write: what machines read; the report itself has its own tests."""

import csv
import io
import json
import os

import pytest
from make_run import make_run

from results import load_run, write_results
from results.table import trials_csv
from results.write import frontier_json
from space import Architecture

FILES = [
    "frontier.json",
    "frontier.csv",
    "trials.csv",
    "frontier.svg",
    "frontier.png",
    "frontier.pdf",
    "frontier.tex",
    "frontier.md",
    "report.html",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run"), running=1, error="=cmd|' /C calc'!A0"))


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_all_files_are_written_and_nothing_else_is_left(run):
    before = {file.name for file in run.path.iterdir()}
    written = write_results(run)
    assert [path.name for path in written] == FILES
    assert all(path.parent == run.path and path.stat().st_size > 0 for path in written)
    assert {file.name for file in run.path.iterdir()} == before | set(FILES)


def test_failed_write_keeps_the_old_file_and_leaves_no_other(run, monkeypatch):
    write_results(run)
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_results(run)
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_files_have_the_permissions_of_any_file_the_user_makes(run):
    (run.path / "own").write_text("")
    modes = {path.stat().st_mode for path in [*write_results(run), run.path / "own"]}
    (run.path / "own").unlink()
    assert len(modes) == 1


def test_frontier_json_has_the_documented_keys(run):
    frontier = json.loads(frontier_json(run))
    assert {key: frontier[key] for key in ("schema", "run", "dataset", "budget_flops")} == {
        "schema": 1,
        "run": "digits-2M",
        "dataset": "digits",
        "budget_flops": 2_000_000,
    }
    assert "multiply-accumulate" in frontier["flops_convention"]
    assert frontier["hypervolume"] == run.hypervolume
    assert frontier["hypervolume_axis"] == "log10(flops)"
    assert frontier["reference_point"] == {"flops": 2_000_000, "accuracy": 0.1}
    for point, record in zip(frontier["points"], run.front, strict=True):
        assert point["trial"] == record.trial
        assert (point["flops"], point["params"]) == (record.flops, record.params)
        assert (point["accuracy"], point["test_accuracy"]) == (
            record.accuracy,
            record.test_accuracy,
        )
        assert (point["epochs"], point["seed"]) == (record.epochs, record.seed)
        assert Architecture.from_dict(point["architecture"]) == record.architecture
    flops = [point["flops"] for point in frontier["points"]]
    assert flops == sorted(flops)


def test_frontier_json_of_nothing_is_an_empty_list(tmp_path):
    run = load_run(make_run(tmp_path, complete=0, baselines=0))
    frontier = json.loads(frontier_json(run))
    assert frontier["points"] == []
    assert frontier["hypervolume"] == 0.0


def test_trials_csv_has_one_line_a_record_and_marks_the_front(run):
    table = rows(trials_csv(run.records, run.front))
    assert [int(row["trial"]) for row in table] == [record.trial for record in run.records]
    on_front = [int(row["trial"]) for row in table if row["on_front"] == "true"]
    assert on_front == sorted(record.trial for record in run.front)
    for row, record in zip(table, run.records, strict=True):
        assert row["state"] == record.state
        assert int(row["flops"]) == record.flops
        assert row["accuracy"] == ("" if record.accuracy is None else str(record.accuracy))
        assert Architecture.from_dict(json.loads(row["architecture"])) == record.architecture
        assert len(row["accuracy_per_epoch"].split()) == record.epochs
        assert [int(n) for n in row["tokens"].split()] == list(record.architecture.token_counts)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_quoted(tmp_path, start):
    run = load_run(make_run(tmp_path, complete=0, stopped=0, baselines=0, error=start + "1+1"))
    table = rows(trials_csv(run.records, []))
    assert {row["error"] for row in table} == {f"'{start}1+1".replace("\r", "\n")}


def test_csv_keeps_commas_quotes_lines_and_other_alphabets(tmp_path):
    error = 'a, "b"\nc; größer 数 é'
    run = load_run(make_run(tmp_path, complete=1, error=error))
    write_results(run)
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert error in {row["error"] for row in table}


def test_name_that_is_no_text_in_utf8_is_written_all_the_same(tmp_path):
    run = load_run(make_run(tmp_path, complete=2, settings={"command": ["x", "a\udcff"]}))
    write_results(run)
    assert "x" in (tmp_path / "report.html").read_text(encoding="utf-8")
