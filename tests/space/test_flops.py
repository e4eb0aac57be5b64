import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from test_architecture import architectures
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from space import SearchSpace, build_model, count_flops, count_params, measure_flops, named
from space.search_space import BUILT_IN_SPACES

MODELS = json.loads((Path(__file__).parent.parent / "reference" / "models.json").read_text())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_counts_equal_those_of_the_released_models(model):
    assert count_flops(named(model["name"])) == model["flops"]
    if model["params"] is not None:
        assert count_params(named(model["name"])) == model["params"]


def test_deit_flops_are_the_written_out_products():
    n, c, h = 197, 192, 4 * 192
    block = n * c * 3 * c + 2 * n * n * c + n * c * c + 2 * n * c * h
    assert count_flops(named("deit_tiny")) == 12 * block + 196 * 16 * 16 * 3 * c + c * 1000


@settings(max_examples=60, deadline=None)
@given(architectures())
def test_closed_form_equals_tracing_for_every_architecture(architecture):
    model = build_model(architecture)
    assert count_flops(architecture) == measure_flops(model, architecture.img_size)
    assert count_params(architecture) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["digits", "cifar"])
def test_closed_form_equals_tracing_over_a_search_space(name):
    space, rng = SearchSpace.load(name), np.random.default_rng(0)
    for _ in range(6):
        architecture = space.sample(rng)
        model = build_model(architecture)
        assert count_flops(architecture) == measure_flops(model, architecture.img_size)
        assert count_params(architecture) == sum(p.numel() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN_SPACES)
def test_closed_form_equals_tracing_over_every_built_in_space(name):
    space, rng = SearchSpace.load(name), np.random.default_rng(1)
    for _ in range(40):
        architecture = space.sample(rng)
        model = build_model(architecture)
        assert count_flops(architecture) == measure_flops(model, architecture.img_size)
        assert count_params(architecture) == sum(p.numel() for p in model.parameters())


def test_measuring_counts_the_attention_of_timms_own_model():
    model = timm.create_model("deit_tiny_patch16_224")
    assert measure_flops(model, 224) == 1_253_683_200


@pytest.mark.parametrize("name", ["levit_128s", "xcit_nano_12_p16_224"])
def test_measuring_counts_networks_of_timm_as_torch_does(name):
    model = timm.create_model(name).eval()
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    assert 2 * measure_flops(model, 224) == counted.get_total_flops()


def test_measuring_keeps_the_mode_of_every_module():
    model = build_model(named("deit_tiny").replace(img_size=32, depth=2)).train()
    model.blocks[1].eval()
    measure_flops(model, 32)
    assert model.training
    assert not model.blocks[1].training


class Cosine(nn.Module):
    def forward(self, x):
        rows = x.flatten(1)
        return torch.cdist(rows, rows)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x):
        return self.lstm(x[:, 0])[0]


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x @ x.transpose(-2, -1)


class Custom(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


@pytest.mark.parametrize("module", [Cosine(), Recurrent(), Custom()])
def test_an_operator_that_nobody_counts_raises_instead_of_being_dropped(module):
    with pytest.raises(ValueError, match="no handle counts"):
        measure_flops(module, (3, 8, 8))


class Products(nn.Module):
    def forward(self, x):  # (1, 2, 3, 4)
        wide = torch.matmul(x.new_ones(5, 3), x)  # (1, 2, 5, 4)
        dot = torch.dot(x.flatten(), x.flatten())
        added = torch.baddbmm(x.new_ones(2, 3, 3), x[0], x[0].transpose(1, 2))
        attended = F.scaled_dot_product_attention(x, x.repeat(1, 1, 2, 1), x.repeat(1, 1, 2, 1))
        return wide, dot, added, attended


def test_products_are_counted_under_broadcasting():
    expected = 2 * 5 * 3 * 4 + 24 + 2 * 3 * 4 * 3 + 2 * 3 * 6 * (4 + 4)
    assert measure_flops(Products(), (2, 3, 4)) == expected
