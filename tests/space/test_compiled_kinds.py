"""`torch.compile` takes every kind as one graph, forwards and backwards."""

import copy

import pytest
import torch
from every_kind import NETWORKS

from space import build_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_kind_is_compiled_whole_and_gives_the_same_logits_and_gradients(kind):
    torch.manual_seed(0)
    torch._dynamo.reset()
    model, images = build_model(NETWORKS[kind]).eval(), torch.randn(2, 1, 16, 16)
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    expected, logits = model(images), compiled(images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-6)
    expected.square().sum().backward()
    logits.square().sum().backward()
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)
