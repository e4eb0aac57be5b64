"""Reference vectors, and what every kind of part is held to against them and against counters."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from space import SearchSpace, build_model, count_flops, count_params, measure_flops

OURS = Path(__file__).parent.parent / "reference"
FOLDER = Path(os.environ.get("VIT_FRONTIER_REFERENCE", OURS))
SMALL = {
    "img_size": 8,
    "patch_size": 2,
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 16,
    "depth": [2, 3],
    "num_heads": 2,
    "mlp_ratio": 2,
}


def cases(file, of=""):
    """The cases of a file whose name holds `of`, as parameters of a test."""
    path = FOLDER / f"{file}.pt"
    path = path if path.exists() else OURS / path.name
    found = torch.load(path, weights_only=True)["cases"]
    return [pytest.param(case, id=case["name"]) for case in found if of in case["name"]]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def compare(module, case, *, run=None, name=lambda name: name, shaped=lambda tensor: tensor):
    """Output and gradients of the module are those of the case: `run(x)` if it is not `module(x)`,
    `name`: what a parameter of ours is called there, `shaped`: a tensor of theirs in our shape."""
    x = case["x"].clone().requires_grad_()
    y = (run or module)(x)
    close(y, case["y"])
    (y * case["w_y"]).sum().backward()
    close(x.grad, case["grad_x"])
    for ours, parameter in module.named_parameters():
        theirs = case["grads"].get(name(ours))
        if theirs is not None:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            close(grad, shaped(theirs).reshape(grad.shape))


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


def load(module, case, *, name=lambda name: name, also=()):
    """The module in float64 with the weights of the case; `also`: tensors of ours it has not."""
    ours = module.state_dict()
    weights = {
        key: case["state_dict"][name(key)].reshape(tensor.shape)
        for key, tensor in ours.items()
        if key not in also
    }
    module.double().load_state_dict({**ours, **weights})
    return module.train(case["mode"] == "train")


def check_space(**tables):
    """Every network of a small space is encoded, decoded, counted and written as it is built, and
    its FLOPs are those that two counters measure. Gives back the networks."""
    space = SearchSpace.from_dict({**SMALL, **tables})
    networks = check_enumerated(space)
    assert all(type(a).from_dict(json.loads(json.dumps(a.to_dict()))) == a for a in networks)
    for a in networks[:: max(len(networks) // 8, 1)]:
        check_counts(a)
    return space, networks


def check_enumerated(space):
    """A small space has every network once, as genes too, draws no other, and knows its least; it
    is written as it is read. Gives back the networks."""
    networks = list(space.enumerate())
    keys = {space.key(a) for a in networks}
    assert len(keys) == len(networks) == space.size()
    assert {space.key(space.decode(space.encode(a))) for a in networks} == keys
    assert min(map(count_flops, networks)) == count_flops(space.smallest())
    assert space.smallest() in space
    assert count_params(space.leanest(10**12)) == min(map(count_params, networks))
    rng = np.random.default_rng(0)
    assert all(space.key(space.sample(rng)) in keys for _ in range(300))
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    return networks


def check_counts(a):
    model = build_model(a).eval()
    assert count_flops(a) == measure_flops(model, a.img_size)
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.randn(1, a.in_chans, a.img_size, a.img_size))
    assert 2 * count_flops(a) == counted.get_total_flops()
    assert count_params(a) == sum(p.numel() for p in model.parameters())
