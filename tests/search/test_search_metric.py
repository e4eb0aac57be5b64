"""A search by another metric than accuracy: what is planned, kept, said."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from results import Run
from results.chart_data import ChartData
from results.charts import frontier_spec
from results.run import read_settings
from results.words import titled
from search import search
from search.confirming import confirm
from search.plan import plan_search
from search.study.run_folder import new_run
from search.terminal.messages import introduce
from trainers import load_dataset


@pytest.fixture(scope="module")
def skewed():
    """Digits of which half are zeros."""
    digits = load_dataset("digits", train_samples=300, val_samples=100)
    labels = {f"{split}_labels": getattr(digits, f"{split}_labels") for split in ("train", "val")}
    changed = {name: np.where(found < 5, 0, found) for name, found in labels.items()}
    return dataclasses.replace(digits, **changed)


def planned(data, tmp_path, metric):
    asked = {"budget": "500K", "data": "given:x", "metric": metric, "out": str(tmp_path / metric)}
    return plan_search(asked, Console(quiet=True), dataset=data, claim=False)


def read(folder):
    return Run(path=folder, name="x", settings=read_settings(folder), records=())


def test_the_reference_is_what_guessing_reaches(skewed, tmp_path):
    share = float(np.mean(skewed.val_labels == 0))
    assert planned(skewed, tmp_path, "accuracy").settings.reference_accuracy == share > 0.4
    plan = planned(skewed, tmp_path, "f1")
    assert plan.settings.reference_accuracy == pytest.approx(1 / 6)  # six classes are there
    folder = new_run(plan.settings, plan.dataset, plan.recipe, ["x"])
    run = read(folder)
    assert (run.metric, run.reference_point[1]) == ("f1", plan.settings.reference_accuracy)
    assert run.images < 100
    kept = json.loads((folder / "run.json").read_text())
    del kept["settings"]["metric"], kept["settings"]["guessing"]  # of a run from before
    del kept["data"]["effective_validation"]
    (folder / "run.json").write_text(json.dumps(kept))
    before = read(folder)
    assert (before.metric, before.reference_point[1], before.images) == ("accuracy", 0.1, 100)


def test_a_metric_is_named_where_people_read(skewed, tmp_path):
    plan = planned(skewed, tmp_path, "balanced_accuracy")
    said = io.StringIO()
    introduce(plan.settings, plan.dataset, plan.recipe, Console(file=said, width=200))
    assert "by balanced accuracy, sampler frontier" in said.getvalue()
    spec = titled({"y": {"title": "Validation accuracy", "field": "accuracy"}}, "macro F1")
    assert spec == {"y": {"title": "Validation macro F1", "field": "accuracy"}}
    folder = new_run(plan.settings, plan.dataset, plan.recipe, ["x"])
    page = json.dumps(frontier_spec(ChartData.of(read(folder))))
    assert '"title": "Validation balanced accuracy"' in page


def test_a_metric_that_is_none_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"`--metric` must be one of .*did you mean 'f1'"):
        plan_search({"budget": "2M", "metric": "f2"}, Console(quiet=True))


@pytest.mark.slow
def test_a_search_by_f1_is_confirmed_by_f1(skewed, tmp_path):
    run = search(
        "200K", skewed, metric="f1", trials=3, epochs=2, workers=2, out=str(tmp_path / "run")
    )
    best = run.front[-1]
    assert best.top1 is not None
    assert best.top1 != best.accuracy
    assert best.test_accuracy is not None
    kept = json.loads((run.path / "frontier.json").read_text())
    assert (kept["metric"], kept["points"][-1]["top1"]) == ("f1", best.top1)
    confirmed = confirm(run.path, data=skewed, seeds=1, epochs=2).confirmed
    training = confirmed.best.trainings[0]
    assert training.top1 is not None
    assert "Accuracy is macro F1 wherever" in (run.path / "report.html").read_text()
