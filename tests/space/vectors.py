"""Reference vectors: cases of a file, and how closely a module must follow them."""

import os
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from space import build_model, count_flops, count_params, measure_flops

FOLDER = Path(os.environ.get("VIT_FRONTIER_REFERENCE", Path(__file__).parent.parent / "reference"))


def cases(file, start=""):
    found = torch.load(FOLDER / f"{file}.pt", weights_only=True)["cases"]
    found = [case for case in found if case["name"].startswith(start)]
    assert found
    return [pytest.param(case, id=case["name"]) for case in found]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def follows(module, case, name=lambda name: name, *, forward=None, x="x"):
    """Output, gradients and BatchNorm's state of a module equal the case's; `name`: what a tensor
    of ours is called there."""
    theirs = case["state_dict"]
    state = {n: theirs[name(n)].view_as(t) for n, t in module.state_dict().items() if name(n)}
    module.double().load_state_dict(state, strict=False)
    module.train(case["mode"] == "train")
    x = case[x].clone().requires_grad_()
    y = (forward or module)(x)
    close(y, case["y"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    for n, parameter in module.named_parameters():
        if name(n):
            close(parameter.grad, case["grads"][name(n)].view_as(parameter))
    for n, buffer in module.named_buffers():
        if name(n) in case["state_after"]:
            close(buffer, case["state_after"][name(n)])


def counts_alike(architecture):
    """FLOPs and parameters in closed form are those of the built network, by two counters."""
    model = build_model(architecture).eval()
    assert sum(p.numel() for p in model.parameters()) == count_params(architecture)
    assert measure_flops(model, architecture.img_size) == count_flops(architecture)
    image = torch.zeros(1, architecture.in_chans, *[architecture.img_size] * 2)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() == 2 * count_flops(architecture)
