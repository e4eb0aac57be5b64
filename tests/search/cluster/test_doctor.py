"""What is looked at before a search: its data, and whether another one runs in its folder."""

import contextlib
import errno
import os
from contextlib import nullcontext

import pytest

from search.cluster import doctor
from search.study.errors import StorageError
from search.study.run_folder import only_driver


@pytest.mark.parametrize(
    ("data", "fix"),
    [("digits", None), ("torch/cifar10", None), ("no_such_folder", "give a folder that exists")],
)
def test_the_doctor_takes_what_a_search_takes_as_data(monkeypatch, data, fix):
    monkeypatch.setattr(doctor, "connected", lambda address: contextlib.nullcontext())
    monkeypatch.setattr(doctor, "_ask_every_node", list)
    fixes = [finding.fix for finding in doctor.examine(address=None, data=data) if finding.fix]
    assert [text[: len(fix or "")] for text in fixes] == ([fix] if fix else [])


def test_only_a_held_lock_is_taken_for_another_search(tmp_path, monkeypatch):
    running = pytest.raises(ValueError, match="another one is running it")
    with only_driver(tmp_path), running, only_driver(tmp_path):
        pass

    def no_locks(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    for number in (errno.EIO, errno.ENOLCK, errno.ENOSYS):
        expected = pytest.raises(StorageError, match="Input/output error")
        with expected if number == errno.EIO else nullcontext(), only_driver(tmp_path) as said:
            assert "has no locks (" in said


def test_a_ray_and_an_optuna_that_were_never_tried_are_named_with_those_that_were(monkeypatch):
    known = doctor._look_at_versions()
    assert [finding.fix for finding in known] == [None]
    monkeypatch.setattr(doctor.quirks, "TRIED", ("2.0", "2.1"))
    monkeypatch.setattr(doctor.optuna_quirks, "TRIED", ("4.0", "4.0"))
    _, of_ray, of_optuna = doctor._look_at_versions()
    assert "was tried with ray 2.0 to 2.1, here is" in of_ray.what
    assert "was tried with optuna 4.0, here is" in of_optuna.what
    assert (of_ray.fix, of_optuna.fix) == (doctor.OTHER_RAY, doctor.OTHER_OPTUNA)
    assert of_optuna.fix.startswith("install optuna 5.0 where")
