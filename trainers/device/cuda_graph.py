"""`Replayed`: work on tensors that stay in place, captured in a CUDA graph and replayed."""

from __future__ import annotations

import functools
import gc
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from trainers.errors import CaptureError

Result = TypeVar("Result")


class Replayed(Generic[Result]):
    """`function`, which takes nothing and reads and writes only tensors that stay where they are;
    if `enabled`, as replays of one CUDA graph, with the same numbers. Raises OutOfMemoryError if
    the GPU's memory runs out, CaptureError if it cannot be captured."""

    # The first `warm_up` calls run as they are on a stream of their own, the next is captured, and
    # that one and all later ones are replays: one launch, no Python. Random numbers of `generator`
    # and of the default generator are the same too. The result is overwritten by the next replay.
    # Trainings may share the memory `pool` (`torch.cuda.graph_pool_handle`) of functions of which
    # none needs what another left there.
    # No torch gets over a failed capture: its allocator stays in capture, so that the next memory
    # that runs out is an internal assertion, and before 2.13 random numbers fail. So the function
    # is not run as it is instead. All is done on the current GPU.

    def __init__(
        self,
        function: Callable[[], Result],
        *,
        enabled: bool,
        warm_up: int,
        generator: torch.Generator | None = None,
        pool: Any = None,
    ) -> None:
        self._function, self._generator, self._pool = function, generator, pool
        self._enabled, self._left = enabled, warm_up
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Result

    def __call__(self) -> Result:
        if self._graph is not None:
            self._graph.replay()
            return self._result
        if not self._enabled:
            return self._function()
        if self._left:
            self._left -= 1
            return self._run_aside()
        try:
            self._capture()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise CaptureError(
                f"no CUDA graph can be made of this training ({reason}): end this process, and "
                "train it in a new one with graphs=False"
            ) from error
        return self()

    def _run_aside(self) -> Result:
        """On a side stream, so that what is set up once is not set up within the capture."""
        current, stream = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                return self._function()
        finally:
            current.wait_stream(stream)

    def _capture(self) -> None:
        """Records the function without running it."""
        graph = torch.cuda.CUDAGraph()
        if self._generator is not None and hasattr(graph, "register_generator_state"):
            with warnings.catch_warnings(action="ignore"):  # later versions need it no more
                graph.register_generator_state(self._generator)
        current, stream = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        collecting = gc.isenabled()
        gc.disable()  # a graph that is freed meanwhile would end the capture
        try:
            # Other threads of the process may use CUDA meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                self._result = self._function()
        finally:
            torch.cuda.set_stream(current)
            if collecting:
                gc.enable()
        self._graph = graph


@functools.cache
def _side_stream(index: int) -> torch.cuda.Stream:
    """One for each GPU: memory is cached by stream, so one for each call would take it anew."""
    return torch.cuda.Stream(index)  # type: ignore[no-untyped-call]
