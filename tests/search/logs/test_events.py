"""events.jsonl: a line for all that happens to a trial; loggers that break end nothing."""

import json

import optuna
import pytest

from search.logs import events as events_module
from search.logs.events import EVENTS_FILE, events_told, read_events
from search.settings import SearchSettings
from search.study.ledger import Ledger
from space import SearchSpace

EPOCH = {
    "epoch": 1, "train_loss": 2.0, "val_loss": 2.1, "accuracy": 0.3, "seconds": 1.0,
    "images_per_second": 64.0,
}  # fmt: skip


@pytest.fixture
def ledger():
    study = optuna.create_study(directions=["maximize", "minimize"])
    return Ledger(study, SearchSettings(budget=10**6, space=SearchSpace.load("digits")))


def test_what_happens_to_trials_is_told_in_order_and_a_resume_adds_to_it(ledger, tmp_path):
    with events_told(tmp_path, "search", (), print) as ledger.on_event:
        first, second, third = (ledger.ask().trial.number for _ in range(3))
        ledger.report(first, EPOCH)
        ledger.complete(first)
        ledger.fail(second, kind="nan", error="the loss is nan")
        ledger.release_all()
    with events_told(tmp_path, "search", (), print) as ledger.on_event:
        again = ledger.ask()
        ledger.report(again.trial.number, EPOCH | {"train_loss": float("nan")})
        ledger.stop(again.trial.number)
    events = read_events(tmp_path)
    told = [(event["event"], event["trial"]) for event in events]
    number = again.trial.number
    assert told == [
        ("started", first), ("started", second), ("started", third), ("epoch", first),
        ("finished", first), ("failed", second), ("released", third), ("started", number),
        ("epoch", number), ("stopped", number),
    ]  # fmt: skip
    assert events[0]["flops"] > 0
    assert events[4]["accuracy"] == 0.3
    assert events[5]["error"] == "the loss is nan"
    assert events[8]["train_loss"] is None  # JSON has no NaN
    assert {event["of"] for event in events} == {"search"}
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path):
    (tmp_path / EVENTS_FILE).write_text(json.dumps({"event": "epoch"}) + '\n{"event": "fin')
    assert read_events(tmp_path) == [{"event": "epoch"}]


def test_a_logger_that_breaks_is_told_nothing_more_and_the_file_everything(
    ledger, tmp_path, monkeypatch
):
    class Broken:
        def tell(self, event):
            raise OSError("no route to host")

        def close(self):
            pytest.fail("closed")

    said = []
    monkeypatch.setattr(events_module, "opened", lambda *_: Broken())
    with events_told(tmp_path, "search", ("wandb",), said.append) as ledger.on_event:
        number = ledger.ask().trial.number
        ledger.report(number, EPOCH)
    assert said == ["wandb is told nothing more: OSError: no route to host"]
    assert len(read_events(tmp_path)) == 2


def test_a_folder_that_cannot_be_written_ends_nothing(ledger, tmp_path):
    with events_told(tmp_path / "gone", "search", (), print) as ledger.on_event:
        ledger.ask()
