"""A question put to the nodes of the Ray cluster, each answering for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ANSWER_SECONDS = 120.0  # a worker that starts imports torch


def ask_nodes(
    question: Callable[..., Any],
    *arguments: Any,
    nodes: list[dict[str, Any]],
    seconds: float = ANSWER_SECONDS,
) -> list[tuple[dict[str, Any], Any]]:
    """Each of `nodes` with its answer to `question(*arguments)`, asked there; where none came in
    time, an exception is the answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask, given = ray.remote(num_cpus=0, max_retries=0)(question), [ray.put(a) for a in arguments]
    answers = []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers.append(ask.options(scheduling_strategy=there).remote(*given))
    answered, _ = ray.wait(answers, num_returns=len(answers), timeout=seconds)
    found: list[tuple[dict[str, Any], Any]] = []
    for node, answer in zip(nodes, answers, strict=True):
        try:
            found.append((node, ray.get(answer) if answer in answered else TimeoutError()))
        except ray.exceptions.RayError as error:
            found.append((node, error))
    return found


def ask_living(
    question: Callable[..., Any], *arguments: Any, seconds: float
) -> list[tuple[str, Any]]:
    """As `ask_nodes`, of all that live, each by its address."""
    import ray

    living = [node for node in ray.nodes() if node["Alive"]]
    found = ask_nodes(question, *arguments, nodes=living, seconds=seconds)
    return [(str(node["NodeManagerAddress"]), answer) for node, answer in found]


def ask_other_nodes(
    question: Callable[..., Any], *arguments: Any, seconds: float = ANSWER_SECONDS
) -> list[tuple[dict[str, Any], Any]]:
    """As `ask_nodes`, of the nodes that live but this one."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    if not others:
        return []
    return ask_nodes(question, *arguments, nodes=others, seconds=seconds)
