"""Failures have the kinds that a trial record knows."""

from __future__ import annotations

import pytest
import torch

from trainers import DataError, NonFiniteLossError, error_kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLossError("nan"), "nan"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out_of_memory",
        ),
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "exception"),
        (KeyError("x"), "exception"),
    ],
)
def test_kind_of_failure(error: Exception, kind: str) -> None:
    assert error_kind(error) == kind


def test_real_failure_to_allocate_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert error_kind(caught.value) == "out_of_memory"


def test_data_errors_are_value_errors() -> None:
    assert issubclass(DataError, ValueError)
