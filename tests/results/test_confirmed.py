"""What a confirmation is read back as: by Python, in files, in the report, at the terminal."""

import csv
import io
import json
import shutil

import pytest
from command_line import call_here
from make_confirmed import make_confirmed
from make_run import make_run

from results import load_run, render_report, write_results
from results.confirmed import confirmed_of
from results.confirmed_files import confirmed_csv, confirmed_json
from search.commands.trial_names import read_trial


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run", complete=20)


@pytest.fixture(scope="module")
def run(plain, tmp_path_factory):
    return make_confirmed(shutil.copytree(plain, tmp_path_factory.mktemp("runs") / "run"))


def made(run, accuracies):
    """A confirmation of trials with these accuracies, by trial."""
    by_trial = {record.trial: record for record in run.records}

    def training(number, accuracy):
        from dataclasses import replace

        record = by_trial[number]
        return replace(record, curve=(replace(record.curve[-1], accuracy=accuracy),))

    rows = [{"trial": trial, "role": "member", "weight": 1.0} for trial in accuracies]
    trainings = {t: [training(t, value) for value in values] for t, values in accuracies.items()}
    return confirmed_of(run, rows, trainings, {"options": {"epochs": 1}, "finished": True})


def test_a_run_without_a_confirmation_has_none(plain):
    run = load_run(plain)
    assert run.confirmed is None
    assert run.unconfirmed == set()
    assert "Confirmed" not in render_report(run)


def test_means_deviations_and_the_staircase_are_those_of_the_trainings(run):
    front = sorted(run.front, key=lambda record: record.flops)[:3]
    cheap, middle, costly = (record.trial for record in front)
    found = made(run, {cheap: [0.80, 0.82], middle: [0.70], costly: [0.90, 0.92, 0.91]})
    first, second, third = found.networks
    assert (first.mean, third.mean) == pytest.approx((0.81, 0.91))
    assert (first.std, second.std, third.std) == (
        pytest.approx(0.02 / 2**0.5), None, pytest.approx(0.01),
    )  # fmt: skip
    assert [n.record.trial for n in found.staircase] == [cheap, costly]
    assert (first.probability, second.probability < 0.01) == (1.0, True)
    assert found.unconfirmed(front) == {middle}
    assert found.best.record.trial == costly
    assert "cannot be said" in found.verdict


def test_neighbours_that_are_not_told_apart_are_named(run):
    front = sorted(run.front, key=lambda record: record.flops)[:2]
    cheap, costly = (record.trial for record in front)
    close = made(run, {cheap: [0.90, 0.91], costly: [0.91, 0.905]})
    assert close.not_told_apart == [(cheap, costly)]
    assert f"not told apart are trials {cheap} and {costly}." in close.verdict
    apart = made(run, {cheap: [0.60, 0.61], costly: [0.91, 0.905]})
    assert apart.not_told_apart == []


def test_the_proxy_is_judged_on_members_and_weighted_controls(run):
    found = run.confirmed
    assert len(found.networks) >= 12
    overall, _ = found.taus
    assert 0 < overall.low <= overall.value <= overall.high <= 1  # noise .005 on a wide range
    assert found.verdict.startswith("The proxy could be trusted")
    assert {n.role for n in found.networks} >= {"member", "control"}
    controls = [n for n in found.networks if n.role == "control"]
    assert all(n.weight >= 1 for n in controls)


def test_the_files_hold_every_network_with_its_trainings(run):
    values = json.loads(confirmed_json(run, run.confirmed))
    rows = list(csv.DictReader(io.StringIO(confirmed_csv(run.confirmed))))
    assert values["schema"] == 1
    assert [row["trial"] for row in rows] == [str(n["trial"]) for n in values["networks"]]
    for row, network in zip(rows, values["networks"], strict=True):
        assert network["n"] == len(network["accuracies"]) == len(network["seeds"])
        assert float(row["mean"]) == network["mean"]
        assert network["proxy_accuracy"] is not None
    assert sum(n["test_accuracy"] is not None for n in values["networks"]) >= len(run.front)
    written = {path.name for path in write_results(run)}
    assert {"confirmed.json", "confirmed.csv"} <= written


def test_the_report_has_the_section_and_marks_unconfirmed_members(run):
    page = render_report(run)
    assert 'id="confirmed"' in page
    assert run.confirmed.verdict.split(";")[0] in page
    assert "Squares are confirmed means" in page
    assert (">unconfirmed<" in page) == bool(run.unconfirmed)
    data = json.loads(page.split('id="spec-frontier"')[1].split(">", 1)[1].split("</script>")[0])
    means = {row["trial"]: row["mean"] for row in data["datasets"]["confirmed"]}
    assert means[run.confirmed.best.record.trial] == run.confirmed.best.mean


def test_best_is_the_highest_confirmed_mean(run):
    _, number, why = read_trial(f"{run.path}:best", None)
    best = run.confirmed.best
    assert number == best.record.trial
    assert f"by its confirmed mean of {best.mean:.4f}" in why


def test_status_tells_what_is_confirmed(run, monkeypatch, capsys):
    code, said = call_here(monkeypatch, capsys, "status", run.path)
    assert code == 0, said
    assert run.confirmed.verdict.split(" (")[0] in said
    assert ("not confirmed" in said) == bool(run.unconfirmed)
    _, line = call_here(monkeypatch, capsys, "status", run.path, "--json")
    told = json.loads(line)["confirmed"]
    assert len(told["networks"]) == len(run.confirmed.networks)


@pytest.mark.parametrize(
    ("changes", "words", "why"),
    [
        ({"finished": False}, (), "must be finished to be confirmed"),
        ({"complete": 0, "baselines": 0}, (), "must have finished trials to be confirmed"),
        ({}, ("--seeds", "0"), "`--seeds` must be"),
        ({}, ("--controls", "-1"), "`--controls` must be"),
        ({}, ("--workers", "many"), "`--workers` must be"),
        ({}, ("--time-limit", "soon"), "`--time-limit` must be"),
    ],
)
def test_wrong_use_is_one_sentence_and_changes_nothing(
    changes, words, why, plain, tmp_path, monkeypatch, capsys
):
    folder = make_run(tmp_path / "run", **changes) if changes else plain
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, said = call_here(monkeypatch, capsys, "confirm", folder, *words)
    assert (code, why in said, said.count("\n")) == (2, True, 1), said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_epochs_than_before_are_refused(run, monkeypatch, capsys):
    code, said = call_here(monkeypatch, capsys, "confirm", run.path, "--epochs", 20)
    assert (code, "`--epochs` (=20) must be 1, as in the trainings of" in said) == (2, True), said
