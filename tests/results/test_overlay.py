"""results.overlay: runs are told apart by what differs, and bands are what their share reaches."""

import dataclasses
import json

import pytest
from make_run import make_run, run_json

from results import hypervolume, load_run
from results.overlay import attained, band_rows, common_hypervolume, groups_of
from results.overlay_page import overlay_spec, render_overlay
from search.commands.look import report


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return [
        load_run(make_run(tmp_path_factory.mktemp("run"), seed=seed, complete=6, stopped=1))
        for seed in range(5)
    ]


def changed(run, *, data=None, **settings):
    """The run as if run.json said something else."""
    asked = run.settings["settings"] | settings
    described = run.settings["data"] | (data or {})
    return dataclasses.replace(run, settings=run.settings | {"settings": asked, "data": described})


def test_seeds_of_one_setting_are_one_group(seeds):
    (group,) = groups_of(seeds)
    assert (group.name, len(group.runs)) == ("5 runs", 5)


def test_groups_are_told_by_what_differs_alone(seeds):
    others = [changed(run, sampler="random", workers=7) for run in seeds[2:]]
    names = [(group.name, len(group.runs)) for group in groups_of([*seeds[:2], *others])]
    assert names == [("sampler tpe", 2), ("sampler random", 3)]


def test_budgets_of_data_and_spaces_are_told(seeds):
    few = changed(seeds[1], data={"train": 200})
    wide = dict(seeds[2].settings, space={"name": "digits", "depth": [1]})
    found = groups_of([seeds[0], few, dataclasses.replace(seeds[2], settings=wide)])
    assert [group.name for group in found] == [
        "space digits (1), train_samples 1078",
        "space digits (1), train_samples 200",
        "space digits (2), train_samples 1078",
    ]


def test_runs_of_other_data_metric_or_one_alone_are_refused(seeds):
    first, second = seeds[:2]
    with pytest.raises(ValueError, match=r"same data and metric, but `name` is 'digits' .*'cells'"):
        groups_of([first, changed(second, data={"name": "cells"})])
    with pytest.raises(ValueError, match=r"`metric` is 'accuracy' in .* and 'f1' in .*: leave one"):
        groups_of([first, changed(second, metric="f1")])
    for alone in ([first], [first, first]):
        with pytest.raises(ValueError, match="two run folders or more, each once"):
            groups_of(alone)


def test_the_same_images_in_another_folder_are_the_same_data(seeds):
    there = [changed(r, data={"name": f"/{i}", "fingerprint": "a"}) for i, r in enumerate(seeds)]
    assert len(groups_of(there)) == 1


def test_attained_is_what_that_share_of_the_runs_reaches(seeds):
    budget = seeds[0].budget_flops
    best = sorted(run.front[-1].accuracy for run in seeds)
    shares = (1.0, 0.75, 0.5, 0.25, 0.2)
    assert [attained(seeds, budget, share) for share in shares] == [
        best[0],
        best[1],
        best[2],
        best[3],
        best[4],
    ]
    assert attained(seeds, 1, 0.2) == float("-inf")


def test_bands_are_ordered_and_never_fall(seeds):
    (group,) = groups_of(seeds)
    rows = [row for row in band_rows(group) if "low" in row]
    assert rows[-1]["flops"] == seeds[0].budget_flops
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows)
    for key in ("low", "median", "high"):
        assert [row[key] for row in rows] == sorted(row[key] for row in rows)


def test_a_run_alone_has_a_line_and_no_band(seeds):
    groups = groups_of([seeds[0], changed(seeds[1], sampler="random")])
    assert not any("low" in row for group in groups for row in band_rows(group))
    assert len(overlay_spec(groups)["datasets"]["members"]) == sum(len(r.front) for r in seeds[:2])


def test_hypervolumes_are_measured_up_to_the_smallest_budget(seeds):
    small = dataclasses.replace(seeds[0], settings=seeds[0].settings | {"budget_flops": 500_000})
    known = hypervolume(seeds[1].records, budget_flops=500_000, reference_accuracy=0.1)
    assert common_hypervolume(seeds[1], [small, seeds[1]]) == pytest.approx(known)


def test_the_page_has_a_row_for_every_run_and_escapes_what_it_quotes(seeds):
    evil = changed(seeds[1], sampler="</script><b>")
    page = render_overlay([seeds[0], evil])
    assert "</script><b>" not in page
    assert page.count('<tr><th scope="row">') == 4
    spec = page.split('id="spec-overlay">')[1].split("</script>")[0]
    assert {row["run"] for row in json.loads(spec)["datasets"]["members"]} == {"digits-2M"}


def test_the_command_writes_the_page_and_refuses_other_data_before_anything_is_written(tmp_path):
    other = run_json("b", 2_000_000, 8, list("01"), 12, 0)["data"] | {"name": "cells"}
    first, strange = tmp_path / "a", tmp_path / "c"
    folders = [make_run(first), make_run(tmp_path / "b", seed=1)]
    page = tmp_path / "new" / "all.html"
    report(folders, overlay=page)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "b" / "report.html").exists()
    make_run(strange, settings={"data": other})
    with pytest.raises(ValueError, match="same data and metric"):
        report([first, strange], overlay=page)
    assert not (strange / "report.html").exists()
    with pytest.raises(ValueError, match=r"`--overlay` .* must be a file that can be written"):
        report(folders, overlay=tmp_path)
