"""What was lost: the head of the cluster, a machine of it, or a worker alone."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from search.cluster import quirks
from search.cluster.connect import knock

NODE_KNOCK_SECONDS = 3.0
HEAD_LOOK_SECONDS = 2.0  # between two looks at whether the head answers
HEAD_SHARE = 0.7  # of the time after which Ray ends the process: the search says so before


@contextlib.contextmanager
def head_watched(on_lost: Callable[[str], None]) -> Iterator[None]:
    """Calls `on_lost(sentence)` in a thread when the cluster's head has been silent for too long,
    or the raylet of this machine has ended."""
    # The main thread cannot: without a head, calls into Ray do not return, and without a raylet Ray
    # ends the process.
    import ray

    context = ray.get_runtime_context()
    here = context.get_node_id()
    raylet = next(_address(node) for node in ray.nodes() if node["NodeID"] == here)
    over = threading.Event()
    threading.Thread(
        target=_watch, args=(context.gcs_address, raylet, over, on_lost), daemon=True,
        name="head-watch",
    ).start()  # fmt: skip
    try:
        yield
    finally:
        over.set()


def _watch(head: str, raylet: str, over: threading.Event, on_lost: Callable[[str], None]) -> None:
    """Knocks at both until one is lost or the search is `over`."""
    limit = HEAD_SHARE * float(os.environ.get(*quirks.GIVES_UP))
    heard = time.monotonic()
    while not over.wait(min(HEAD_LOOK_SECONDS, limit / 3)):
        try:
            knock(raylet)
        except ConnectionRefusedError:
            if not over.is_set():
                on_lost("Ray on this machine was lost: its raylet ended")
            return
        except OSError:
            pass
        try:
            knock(head, NODE_KNOCK_SECONDS)
            heard = time.monotonic()
        except OSError:
            silent = time.monotonic() - heard
            if silent > limit and not over.is_set():
                on_lost(f"The head of the Ray cluster at {head} is lost: {silent:.0f} s silent")
                return


def died_alone(actor_id: str | None) -> bool:
    """Whether a lost actor's process died on a machine that lives on.

    Else the machine or the network was lost. An actor that Ray ended itself had only lost its
    connection.
    """
    node = quirks.node_of_death(actor_id) if actor_id else ""
    return node == "" or (node is not None and node_answers(node))


def node_answers(node_id: str) -> bool:
    """Whether the raylet of a node listens; Ray itself may take a minute to notice a dead node."""
    import ray

    node = next((node for node in ray.nodes() if node["NodeID"] == node_id), None)
    if node is None or not node["Alive"]:
        return False
    with contextlib.suppress(OSError):
        knock(_address(node), NODE_KNOCK_SECONDS)
        return True
    return False


def _address(node: dict[str, Any]) -> str:
    """Where the raylet of a node listens."""
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"


def read_error(trial: Any) -> tuple[str, str, str | None]:
    """What Ray says of the lost worker of a trial: the whole text, the reason in short, the actor,
    if its process died."""
    # The reason is without ids, which would make two alike look different, or the last line of a
    # traceback.
    text = quirks.error_text(trial)
    if text is None:
        return "", "", None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    actor = quirks.ACTOR.search(text)
    if any(re.match(r'File ".*", line \d+', line) for line in lines):
        reason, actor = lines[-1], None
    else:
        reason = " ".join(line for line in lines if not re.fullmatch(r"[\w ]+: \S+", line))
    reason = re.sub(r"\b[0-9a-f]{16,}\b", "...", reason)[:400]
    return text, reason, actor[1] if actor else None
