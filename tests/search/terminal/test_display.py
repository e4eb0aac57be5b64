"""The panel of a search on terminals of any width, and how long it says that is left."""

import dataclasses
import io
from types import SimpleNamespace

import pytest
from make_run import make_run
from rich.console import Console

from results import load_run
from search.terminal.display import front_table
from search.terminal.pace import Pace


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("runs") / "digits-2M")).front


def drawn(front, width):
    text = io.StringIO()
    Console(file=text, width=width).print(front_table(front, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_flops_and_accuracy_are_the_last_to_go(front, width):
    text = drawn(front, width)
    assert "…" not in text
    best = front[-1]
    assert f"{best.accuracy:.4f}" in text
    assert ("pools" in text) == (width > 80)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())


def test_a_test_accuracy_has_a_column_once_it_is_known(front):
    assert f"{front[-1].test_accuracy:.4f}" in drawn(front, 120)
    unknown = [dataclasses.replace(member, test_accuracy=None) for member in front]
    assert "test" not in drawn(unknown, 120)


def live(flops, epoch, began):
    return SimpleNamespace(flops=flops, began=began, curve=[{"epoch": epoch}] if epoch else [])


def test_what_is_left_is_told_by_flops(front, monkeypatch):
    monkeypatch.setattr("search.terminal.pace.time.monotonic", lambda: 100.0)
    pace = Pace(epochs=10)
    assert pace.left([live(1000, 0, 99.0)], 3) is None
    small = dataclasses.replace(front[0], flops=1000, seconds=2.0)
    curve = (dataclasses.replace(small.curve[-1], epoch=10),)
    pace.finished(dataclasses.replace(small, curve=curve))  # 10,000 FLOPs in 2 s
    assert pace.left([live(50_000, 0, 99.0)], 0) == pytest.approx(100.0)
    assert pace.left([live(50_000, 0, 99.0)], 10) == pytest.approx(120.0)
    two = [live(50_000, 0, 99.0), live(50_000, 0, 99.0)]
    assert pace.left(two, 0) == pytest.approx(100.0)
    assert pace.left([], 0) is None
    stopped = dataclasses.replace(small, curve=small.curve[:1], seconds=0.2)  # after one epoch
    pace.finished(stopped)
    assert pace.left([], 2) == pytest.approx(2 * 5500 * 2e-4 / 2)
