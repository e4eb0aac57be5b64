"""TensorBoard's files of a training: a scalar for each measurement and epoch."""

import pytest
from event_files import read_events

from search.study.events import events_of

writers = pytest.importorskip("tensorboardX")
REPORT = {"epoch": 1, "train_loss": 2.25, "accuracy": 0.5, "ema_accuracy": None}


def test_every_measurement_of_an_epoch_is_a_scalar_at_that_epoch(tmp_path):
    with events_of(tmp_path, after=0) as write:
        write(REPORT)
        write(REPORT | {"epoch": 2, "accuracy": 0.75, "ema_accuracy": 0.25})
    found, _ = read_events(tmp_path / "tensorboard")
    assert found == [
        ("train_loss", 1, 2.25), ("accuracy", 1, 0.5),
        ("train_loss", 2, 2.25), ("accuracy", 2, 0.75), ("ema_accuracy", 2, 0.25),
    ]  # fmt: skip


def test_what_goes_on_has_what_was_beyond_its_checkpoint_left_out(tmp_path):
    with events_of(tmp_path, after=0) as write:
        write(REPORT)
        write(REPORT | {"epoch": 2})  # its checkpoint was not written any more
    with events_of(tmp_path, after=1) as write:
        write(REPORT | {"epoch": 2})
    assert 2 in read_events(tmp_path / "tensorboard")[1]
