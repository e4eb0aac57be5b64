"""Broken run folders: a run that can be looked at, or one ValueError of one paragraph."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_run import make_run
from test_fuzz_readers import hostile, impatient, mutants, one_paragraph, scrambled

from results import load_run
from search.settings import SearchSettings
from search.study.run_folder import read_search
from search.terminal.messages import summary
from space import SearchSpace
from trainers import Recipe

QUICK, LONG = 15, 700
OPTIONS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("good"), complete=4, stopped=1, failed=1, baselines=1)


def look(folder):
    """All that `status` shows, or a refusal in one paragraph."""
    is_done_or_refused(lambda: json.dumps(summary(load_run(folder))))


def is_done_or_refused(read):
    refusal = None
    try:
        read()
    except ValueError as error:
        refusal = error
    assert refusal is None or one_paragraph(refusal), str(refusal)[:4000]


def fresh(good, folder):
    for file in ("run.json", "study.db"):
        shutil.copyfile(good / file, folder / file)


def check_description(good, folder, examples):
    text = (good / "run.json").read_text()
    broken = scrambled([text]) | mutants([json.loads(text)]).map(
        lambda v: json.dumps(v, default=str)
    )

    def check(content):
        fresh(good, folder)
        (folder / "run.json").write_text(content, errors="surrogatepass")
        look(folder)

    settings(max_examples=examples, **OPTIONS)(given(broken)(check))()


def check_database(good, folder, examples):
    content = (good / "study.db").read_bytes()
    cuts = st.tuples(st.integers(0, len(content)), st.binary(max_size=60), st.booleans())

    def check(cut):
        place, piece, truncated = cut
        fresh(good, folder)
        rest = b"" if truncated else content[place + len(piece) :]
        (folder / "study.db").write_bytes(content[:place] + piece + rest)
        look(folder)

    settings(max_examples=examples, **OPTIONS)(given(cuts)(check))()


def check_attributes(good, folder, examples):
    """Attributes of trials and of the study that another program wrote."""
    tables = st.sampled_from(["trial_user_attributes", "study_user_attributes"])
    texts = hostile.map(lambda value: json.dumps(value, default=str)) | st.text(max_size=5)
    curves = st.lists(st.dictionaries(st.sampled_from(["epoch", "accuracy"]), hostile), max_size=2)

    def check(table, place, value):
        fresh(good, folder)
        with sqlite3.connect(folder / "study.db") as connection:
            rows = connection.execute(f"SELECT rowid FROM {table}").fetchall()
            row = rows[place % len(rows)]
            connection.execute(
                f"UPDATE {table} SET value_json = ? WHERE rowid = ?",
                (value.encode("utf-8", "replace").decode(), *row),
            )
        connection.close()
        look(folder)

    values = texts | curves.map(lambda value: json.dumps(value, default=str))
    settings(max_examples=examples, **OPTIONS)(given(tables, st.integers(0, 999), values)(check))()


def check_search(good, folder, examples):
    """What `resume` and `retry` read before they load the images."""
    search = SearchSettings(budget=10**6, space=SearchSpace.load("digits"))
    whole = json.loads((good / "run.json").read_text()) | {
        "settings": search.to_dict(),
        "recipe": Recipe().to_dict(),
    }

    def read():
        description = read_search(folder)
        SearchSettings.from_dict({**description["settings"], "out": str(folder)})
        Recipe.from_dict(description["recipe"])

    def check(values):
        (folder / "run.json").write_text(json.dumps(values, default=str))
        is_done_or_refused(read)

    settings(max_examples=examples, **OPTIONS)(given(mutants([whole]))(check))()


CHECKS = {
    "run.json": check_description,
    "study.db": check_database,
    "attributes": check_attributes,
    "resume": check_search,
}


@pytest.mark.parametrize("what", CHECKS)
def test_a_broken_run_is_read_or_refused_in_a_sentence(what, good, tmp_path):
    CHECKS[what](good, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("what", CHECKS)
def test_thousands_of_broken_runs_are_read_or_refused_in_a_sentence(what, good, tmp_path):
    CHECKS[what](good, tmp_path, LONG)


@pytest.mark.parametrize("file", ["run.json", "study.db"])
def test_a_broken_run_ends_in_exit_code_2(file, good, tmp_path):
    fresh(good, tmp_path)
    (tmp_path / file).write_bytes((good / file).read_bytes()[:-3000] or b"{")
    if file == "study.db":
        (tmp_path / file).write_bytes(b"not a database" * 1000)
    words = [sys.executable, "-m", "search", "status", str(tmp_path)]
    done = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_a_run_description_that_is_a_pipe_is_refused_unopened(good, tmp_path):
    shutil.copyfile(good / "study.db", tmp_path / "study.db")
    os.mkfifo(tmp_path / "run.json")
    with impatient(), pytest.raises(ValueError, match=r"run\.json' .*must be a regular file"):
        load_run(tmp_path)
