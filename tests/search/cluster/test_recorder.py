"""What is made of workers that fail: those that cannot start, and those that cannot capture."""

from types import SimpleNamespace

import optuna
import pytest

from search.cluster import recorder
from search.cluster.recorder import Recorder
from search.cluster.tune import Stop
from search.settings import SearchSettings
from search.study.ledger import Ledger
from space import SearchSpace

DIED = """Failure # 1
The actor died because of an error raised in its creation task, ray::ProxyTrainable.__init__()
ModuleNotFoundError: No module named 'space.architecture'
"""


UNCAPTURED = """Failure # 1
ray::ProxyTrainable.train() (pid=17, ip=10.0.0.1)
  File "search/cluster/worker.py", line 63, in step
    return result | self._train_one_epoch()
trainers.errors.CaptureError: no CUDA graph can be made of this training (not permitted)
"""


def error_of(tmp_path, number, text):
    (tmp_path / "error.txt").write_text(text)
    return SimpleNamespace(
        config={"trial": number}, error_file=tmp_path / "error.txt", metric_analysis={},
        metric_n_steps={},
    )  # fmt: skip


def test_a_trial_that_no_graph_could_be_made_of_is_asked_again_without(tmp_path):
    study = optuna.create_study(directions=["maximize", "minimize"])
    ledger = Ledger(study, SearchSettings(budget=10**6, space=SearchSpace.load("digits")))
    said = []
    told = Recorder(
        ledger, Stop(ledger, None), weights=tmp_path, batch_size=64, silence=1800.0,
        starting=dict, on_finished=said.append, on_step=lambda: None, say=said.append,
    )  # fmt: skip
    first = ledger.ask()
    trial = error_of(tmp_path, first.trial.number, UNCAPTURED)
    told.on_trial_error(0, [trial], trial)
    again = ledger.ask()
    assert (again.architecture, first.eager, again.eager) == (first.architecture, False, True)
    assert said == [
        f"The network of trial {first.trial.number} is trained again: no CUDA graph could be made "
        "of it; now without."
    ]
    assert not ledger.finished
    ledger.release(again.trial.number)  # for another reason
    assert ledger.ask().eager


@pytest.mark.parametrize("look_seconds", [-1.0, 1e9])
def test_three_workers_that_cannot_start_stop_a_search(tmp_path, monkeypatch, look_seconds):
    """On a slow machine every step of Tune's is one at which workers are looked for."""
    monkeypatch.setattr(recorder, "STARTING_SECONDS", look_seconds)
    study = optuna.create_study(directions=["maximize", "minimize"])
    ledger = Ledger(study, SearchSettings(budget=10**6, space=SearchSpace.load("digits")))
    starting, said = {}, []
    told = Recorder(
        ledger, Stop(ledger, None), weights=tmp_path, batch_size=64, silence=1800.0,
        starting=lambda: starting, on_finished=said.append, on_step=lambda: None, say=said.append,
    )  # fmt: skip
    for failures in range(1, 4):
        number = ledger.ask().trial.number
        starting.clear()
        starting[number] = object()  # as of Tune's choice, until it chooses again
        told.on_step_end(0, [])
        trial = error_of(tmp_path, number, DIED)
        told.on_trial_error(0, [trial], trial)
        told.on_step_end(0, [])
        assert (ledger.stop_reason is not None) == (failures == 3)
    assert "3 workers in a row could not start" in ledger.stop_reason
