"""How data and trials fail: the exceptions of this package and the kinds a trial record knows."""

from __future__ import annotations


class DataError(ValueError):
    """Data that cannot be used as asked; the message states the rule, the value and the fix."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite."""


class CaptureError(RuntimeError):
    """Work that no CUDA graph can be made of. The process must end: its memory stays in capture."""


def error_kind(error: BaseException) -> str:
    """The `error_kind` of a trial record: "nan", "out_of_memory" or "exception"."""
    if isinstance(error, NonFiniteLossError):
        return "nan"
    name, message = type(error).__name__, str(error).lower()
    # By name: torch need not be there to ask, and its class has moved between releases.
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "out_of_memory"
    if isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message
    ):
        return "out_of_memory"
    return "exception"
