"""results.charts: a chart is drawn from any run, and holds nothing that JSON cannot."""

import json
from xml.etree import ElementTree

import pytest
from make_run import make_run

from results import load_run
from results.chart_data import ChartData
from results.charts import frontier_png, frontier_spec, frontier_svg

SHAPES = {
    "no trial": {"complete": 0, "stopped": 0, "failed": 0, "baselines": 0},
    "none complete": {"complete": 0, "stopped": 2, "failed": 1, "baselines": 0},
    "one": {"complete": 1, "stopped": 0, "failed": 0, "baselines": 0, "epochs": 1},
    "all kinds": {"running": 2},
}


@pytest.fixture(scope="module", params=list(SHAPES))
def run(request, tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run"), **SHAPES[request.param]))


def test_specification_is_strict_json_and_names_no_address(run):
    text = json.dumps(frontier_spec(ChartData.of(run)), allow_nan=False)
    assert "http" not in text


def test_picture_is_drawn_from_any_run(run):
    svg = frontier_svg(ChartData.of(run))
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]
    assert "budget 2 MFLOPs" in texts
    assert [t for t in texts if t and t.startswith("FLOPs per image")]
    assert {str(run.front[-1].trial)} <= set(texts) if run.front else True
    assert "NaN" not in svg
    assert "e+308" not in svg  # how Vega writes the extent of nothing
    assert frontier_png(ChartData.of(run)).startswith(b"\x89PNG")


def test_the_picture_names_baselines_and_says_what_bars_and_numbers_mean(tmp_path):
    run = load_run(make_run(tmp_path))
    texts = [
        e.text
        for e in ElementTree.fromstring(frontier_svg(ChartData.of(run))).iter()
        if e.tag.endswith("text")
    ]
    assert {r.baseline for r in run.records if r.baseline is not None} <= set(texts)
    caption = (
        "Numbers are trials, bars one standard error of the accuracy; the dotted line is the "
        "baselines' own"
    )
    assert caption in texts


def test_a_dataset_whose_name_is_not_utf8_is_drawn(tmp_path):
    data = {"name": "/data/caf\udce9", "img_size": 8, "in_chans": 1, "num_classes": 10}
    run = load_run(make_run(tmp_path, **SHAPES["one"], settings={"data": data}))
    assert ">caf?: accuracy within" in frontier_svg(ChartData.of(run))
    assert frontier_png(ChartData.of(run)).startswith(b"\x89PNG")
