"""results.report: one page that needs nothing else, escapes what it quotes and tells the truth."""

import dataclasses
import json
from html.parser import HTMLParser

import pytest
from make_run import make_run, run_json

from results import load_run, render_report
from results.report import command_line, failures, sections
from results.words import percent, scaled, unbalanced_text

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> &amp; {{ 7*7 }} <!--"
VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, and the text outside scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.texts, self.scripts = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    def attributes(self, *names):
        return [attrs[name] for _, attrs in self.tags for name in names if name in attrs]

    def specs(self):
        texts = iter(self.scripts)
        kinds = [attrs.get("type") for tag, attrs in self.tags if tag == "script"]
        return [json.loads(next(texts)) for kind in kinds if kind == "application/json"]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run"), running=1, finished=False))


@pytest.fixture(scope="module")
def page(run):
    return Page(render_report(run))


def render(folder, **changes):
    return Page(render_report(load_run(make_run(folder, **changes))))


def test_page_is_well_formed_and_loads_nothing(page):
    assert page.open == []
    links = page.attributes("src", "href", "xlink:href", "action", "data", "srcset")
    assert links
    assert all(link.startswith("#") for link in links)
    assert page.count("link") == 0
    policy = page.attributes("content")[-1]
    assert "default-src 'none'" in policy


def test_page_tells_name_data_budget_counts_and_hypervolume(page, run):
    for part in (
        "digits-2M",
        "10 classes, 8 × 8 pixels, 1 channel",
        "2 MFLOPs",
        "21 complete, 4 stopped early, 2 failed, 1 running",
        "3 proposals over budget, 1 repeated",
        f"{run.hypervolume:.3f}",
        "accuracy × decades over log10(flops), from (2 M, 10.0 %)",
        "Not finished: 1 running",
        "measured on 359 images held out from the training split",
    ):
        assert part in page.text, part


def test_every_member_has_a_row_a_drawing_and_its_test_accuracy(page, run):
    for record in run.front:
        assert f"trial-{record.trial}" in page.attributes("id")
        assert f"#trial-{record.trial}" in page.attributes("href")
        assert f"{percent(record.accuracy)} at {scaled(record.flops)}FLOPs" in page.text
        assert percent(record.test_accuracy) in page.text
    assert page.attributes("class").count("blocks") == len(run.front)


def test_charts_hold_every_trial_and_say_what_they_show(page, run):
    frontier, curves, *anytime = page.specs()
    drawn = {row["trial"] for row in frontier["datasets"]["trials"]}
    assert drawn == {r.trial for r in run.records if r.accuracy is not None}
    assert {row["trial"] for row in curves["datasets"]["curves"]} == {r.trial for r in run.front}
    hypervolume, best = anytime[:3], anytime[3:]
    for above, below in zip(hypervolume, best, strict=True):
        assert above["datasets"] == below["datasets"]
    labels = [a["aria-label"] for _, a in page.tags if a.get("class") == "chart"]
    assert len(labels) == 8
    assert f"The frontier has {len(run.front)} members" in labels[0]


def test_every_record_has_a_row_in_the_table_of_all_trials(page, run):
    table = page.tags[[attrs.get("id") for _, attrs in page.tags].index("all") :]
    body = [tag for tag, _ in table[: [t for t, _ in table].index("section")]]
    assert body.count("tr") == 1 + len(run.records)


def test_baselines_failures_versions_and_command_are_told(page, run):
    for part in (
        "plain_d3_w48",
        "loss became NaN in epoch 3",
        "vit-frontier search --budget 2M --seed 0 --workers 2",
        "2.60.0",
        "memory 8 GB",
        "weight decay",
    ):
        assert part in page.text, part


def test_hostile_text_is_shown_and_never_becomes_markup(tmp_path):
    page = render(
        tmp_path,
        name=EVIL,
        class_names=[EVIL] * 10,
        error=EVIL,
        error_kind=EVIL,
        settings={"command": [EVIL], "versions": {EVIL: EVIL}, "hardware": {"cpu": EVIL}},
    )
    plain_page = render(tmp_path / "plain")
    assert page.count("img") == 0
    assert page.count("script") == plain_page.count("script")
    assert not page.attributes("onerror", "onload", "onclick")
    assert page.text.count("<img src=x onerror=alert(2)> &amp; {{ 7*7 }}") >= 6
    assert page.open == []


def test_hostile_baseline_name_stays_inside_the_chart_data(tmp_path, run):
    records = tuple(dataclasses.replace(r, baseline=EVIL) if r.baseline else r for r in run.records)
    html = render_report(dataclasses.replace(run, records=records))
    page = Page(html)
    names = {row.get("baseline") for row in page.specs()[0]["datasets"]["trials"]}
    assert names == {None, EVIL}
    assert EVIL not in html
    assert page.count("img") == 0


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"complete": 0, "stopped": 0, "failed": 0, "baselines": 0}, "No trial has trained yet"),
        ({"complete": 0, "stopped": 2, "failed": 1, "baselines": 0}, "no trial has completed"),
        (
            {"complete": 1, "stopped": 0, "failed": 0, "baselines": 0, "epochs": 1},
            "of 1 complete trial ",
        ),
    ],
)
def test_page_of_a_run_that_hardly_began_is_whole(tmp_path, shape, told):
    page = render(tmp_path, **shape)
    assert told in page.text
    assert page.open == []


def test_missing_descriptions_are_dashes(tmp_path):
    page = render(
        tmp_path,
        settings={"data": {"num_classes": 10}, "recipe": {}, "versions": None, "command": None},
    )
    assert "frontier of –" in page.text
    assert "The same search again" not in page.text


def test_nan_in_a_curve_is_no_obstacle(tmp_path, run):
    member = run.front[0]
    curve = tuple(dataclasses.replace(e, val_loss=float("nan")) for e in member.curve)
    records = [r for r in run.records if r is not member]
    records.append(dataclasses.replace(member, curve=curve))
    page = Page(render_report(dataclasses.replace(run, records=tuple(records))))
    values = [r["val_loss"] for r in page.specs()[1]["datasets"]["curves"]]
    assert values.count(None) == member.epochs


def test_password_of_the_storage_is_nowhere_in_the_page(tmp_path):
    folder = make_run(tmp_path)
    url = "postgresql://me:secret@host/db"
    settings = json.loads((folder / "run.json").read_text())
    settings["settings"]["storage"] = url
    settings["command"] += ["--storage", url]
    run = load_run(folder)
    run.settings.update(settings)
    html = render_report(run)
    assert "secret" not in html
    assert "postgresql://me:***@host/db" in html


def test_weights_are_explained_only_where_they_are(tmp_path):
    folder = make_run(tmp_path)
    assert "vit-frontier export" not in render_report(load_run(folder))
    (folder / "weights").mkdir()
    best = load_run(folder).front[-1].trial
    report = render_report(load_run(folder))
    assert f"vit-frontier export {folder} {best}" in report
    assert f"local-dir:{folder}/models/{best}" in report
    assert "The member of the highest validation accuracy, not confirmed, carried away" in report
    assert "None is confirmed: each was trained once" in report


def test_same_reason_is_one_failure_with_all_its_trials(run):
    (failure,) = failures(run.records)
    trials = [record.trial for record in run.records if record.state == "failed"]
    assert failure["count"] == len(trials) == 2
    assert failure["trials"] == ", ".join(map(str, trials))
    assert "Traceback" in failure["traceback"]


@pytest.mark.parametrize(
    ("argv", "typed"),
    [
        (["/opt/v/bin/vit-frontier", "search", "--out", "a b"], "vit-frontier search --out 'a b'"),
        (["/src/search/__main__.py", "--budget", "2M"], "python -m search --budget 2M"),
        ([], None),
        (None, None),
    ],
)
def test_command_reads_as_it_was_typed(argv, typed):
    assert command_line(argv) == typed


@pytest.mark.parametrize("typed", [["search"], ["search", "--seed=3"], ["resume", "run"]])
def test_a_search_is_made_again_with_the_seed_and_the_workers_it_was_not_given(typed):
    chosen = {"--seed": 5, "--workers": 2}
    added = (
        {1: " --seed 5 --workers 2", 2: " --workers 2"}[len(typed)] if "run" not in typed else ""
    )
    assert (
        command_line(["vit-frontier", *typed], chosen) == f"vit-frontier {' '.join(typed)}{added}"
    )


def test_a_page_of_unbalanced_data_says_so_and_draws_the_largest_class(tmp_path):
    known = run_json("digits-2M", 2_000_000, 8, list("0123456789"), 12, 0)["settings"]
    page = render(tmp_path, settings={"settings": {**known, "guessing": 0.83}})
    assert unbalanced_text(0.83) in page.text
    frontier, *_, best = page.specs()
    for spec in (frontier, best):
        assert [row["share"] for row in spec["datasets"]["guess"]] == [0.83]


def test_a_page_of_balanced_data_draws_no_largest_class(page):
    assert "largest class" not in page.text
    assert not any("guess" in spec["datasets"] for spec in page.specs())


def test_long_lists_and_large_numbers_stay_readable():
    described = {"data": {"class_names": list("abcdefghijklmnop"), "train": 1281167, "x": None}}
    entries = dict(dict(sections(described))["Data"])
    assert entries["class_names"] == "a, b, c, d, e, f, g, h, i, j, k, l and 4 more"
    assert (entries["train"], entries["x"]) == ("1 281 167", "–")


@pytest.mark.slow
def test_thousands_of_trials_give_a_page_of_a_few_megabytes(tmp_path):
    folder = make_run(tmp_path, complete=2000, stopped=900, failed=100, epochs=30)
    html = render_report(load_run(folder))
    assert len(html) < 5_000_000
    assert Page(html).count("tr") > 3000


def test_left_out_files_and_licenses_are_named_and_internals_are_not(tmp_path):
    made = run_json("digits-2M", 2_000_000, 8, [str(i) for i in range(10)], 12, 0)
    data = {**made["data"], "skipped_files": ["a/b.png: empty"], "brightness": [0.30471, 0.2]}
    run = load_run(make_run(tmp_path, settings={"data": {**data, "name": "digits"}}))
    text = Page(render_report(run)).text
    assert "a/b.png: empty" in text
    assert "Licenses. Data: CC BY 4.0" in text
    assert "0.30471" not in text
