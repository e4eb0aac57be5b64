"""What the report shows of networks that were inspected: their maps, tokens, a plain one beside."""

import json

import pytest
from make_run import make_run, plain

from results import load_run, render_report
from results.similarity import (
    is_plain,
    nearest_plain,
    plain_text,
    plain_twin,
    read_inspected,
    similar_text,
)
from results.similarity_chart import map_rows, similarity_specs, similarity_svg, token_rows
from space import NAMED, Architecture

ALL = {
    "blocks": [0, 1, 2], "without_maps": [],
    "maps": [[1, 0.95, None], [0.95, 1, 0.2], [None, 0.2, 1]],
    "alike": 0.9, "before": [None, 0.95, 0.2], "similar": [1], "tokens": [0.1, 0.5, 0.9],
    "schema": 1, "images": 16,
}  # fmt: skip


def told(trial=4, **changes):
    return {"trial": trial, **ALL, "plain": None, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def keep(folder, told):
    (folder / f"inspect-{told['trial']}.json").write_text(json.dumps(told))


def test_pairs_of_other_sizes_are_left_empty_and_tokens_stand_for_both_networks():
    both = told(plain={"trial": 7, **ALL})
    assert len(map_rows(both)) == 7
    assert [row["network"] for row in token_rows(both)] == 3 * ["this network"] + 3 * ["plain"]
    assert set(similarity_specs(both)) == {"maps-4", "tokens-4", "plain-4"}
    assert similarity_svg(both).count("Trial 7, plain") > 0


def test_similar_blocks_are_counted_in_words():
    assert similar_text(told()) == "1 of 2 blocks is similar to the one before"
    assert similar_text(told(before=[None] * 3, similar=[])).startswith("no block can be compared")


def test_the_twin_is_the_network_with_plain_attention_throughout():
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=4, num_heads=2,
        reattention=(2, 3),
    )  # fmt: skip
    assert not is_plain(a)
    assert plain_twin(a) == a.replace(reattention=())
    with pytest.raises(ValueError, match="must have a plain twin, but"):
        plain_twin(NAMED["mvitv2_tiny"])


def test_the_nearest_plain_network_is_the_one_with_weights_and_two_blocks(folder):
    run = load_run(folder)
    record = run.front[-1]
    assert nearest_plain(run, record) is None
    weights = folder / "weights"
    weights.mkdir()
    for trial in (0, 1, 2):  # a ladder of plain networks of 1, 2 and 3 blocks
        (weights / f"{trial}.safetensors").write_bytes(b"")
    first = run.records[0]
    assert first.architecture.depth == 1
    assert nearest_plain(run, first).trial == 1
    assert "2 blocks" in plain_text(run, {"trial": 1})
    assert "trained by the same recipe" in plain_text(run, {"trial": None, "accuracy": 0.5})


def test_the_report_shows_what_was_inspected_and_nothing_before(tmp_path):
    folder = make_run(tmp_path / "run")
    assert 'id="collapse"' not in render_report(load_run(folder))
    keep(folder, told(plain={"trial": None, "accuracy": 0.5, **ALL}))
    page = render_report(load_run(folder))
    for chart in ("maps-4", "plain-4", "tokens-4"):
        assert f'id="chart-{chart}"' in page
    assert "1 of 2 blocks is similar to the one before (16 images)" in page
    assert "trained by the same recipe and seed for this (50.0 %)" in page.replace("\xa0", " ")


@pytest.mark.parametrize(
    "wrong",
    [{"maps": [[1]]}, {"tokens": ["<b>"] * 3}, {"before": []}, {"similar": [9]}, {"plain": {}}],
)
def test_a_file_that_no_page_can_be_made_of_is_told(tmp_path, wrong):
    keep(tmp_path, told(**wrong))
    with pytest.raises(ValueError, match=r"as `vit-frontier inspect` wrote it.*inspect again"):
        read_inspected(tmp_path)


def test_a_plain_network_is_plain():
    assert is_plain(plain(2, 32))
