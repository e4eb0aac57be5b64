"""timm's own generic tests over networks of ours, kind by kind; docs/timm.md shows the table."""

import importlib.util
import sys
from pathlib import Path

import pytest
from timm.models import generate_default_cfgs, register_model

from space import Architecture, named
from space.model import timm_config, vit_frontier

pytest.importorskip("torchvision")
FILE = Path(__file__).parent.parent / "reference" / "timm_models.py"
A = {"img_size": 128, "patch_size": 32, "embed_dim": 24, "depth": 4, "num_heads": 3}
POOLS = {"pools": [{"after": 0, "kernel_size": 2, "stride": 1}, {"after": 2}]}
NETWORKS = {
    "vit_frontier_plain": A,
    "vit_frontier_token": A | {"head": "token"},
    "vit_frontier_pools": A | POOLS,
    "vit_frontier_reattention": A | {"reattention": [1, 2, 3]},
    "vit_frontier_all": A | POOLS | {"head": "token", "stem": "conv", "reattention": [1, 3]},
}
LOST = "vit_frontier_pools", "vit_frontier_all"
REFUSED = {
    # function: (the networks it refuses, how it says so)
    "test_model_forward_torchscript": (tuple(NETWORKS), "torch.jit.script cannot read"),
    "test_prune_intermediate_layers_params_used": (tuple(NETWORKS), "has no dropout"),
    "test_model_forward_intermediates": (LOST, "must be 'NLC' where the grid is lost"),
}
LAID_OUT = {
    # their asserts look for two axes, where tokens in a row have one
    "test_model_forward_features": LOST,
    "test_model_forward_intermediates_features": LOST,
    # it takes features of the shape of the last, normalised tokens for these
    "test_forward_after_prune_intermediate_layers": ("vit_frontier_pools",),
}
ONE_IMAGE = {"batch_size": 1}
FUNCTIONS = {
    "test_model_forward": ONE_IMAGE,
    "test_model_backward": {"batch_size": 2},
    "test_model_default_cfgs_non_std": ONE_IMAGE | {"cfg_device": "meta"},
    "test_model_forward_torchscript": ONE_IMAGE,
    "test_model_forward_features": ONE_IMAGE,
    "test_model_forward_intermediates_features": ONE_IMAGE,
    "test_model_forward_intermediates": ONE_IMAGE,
    "test_prune_intermediate_layers_params_used": {},
    "test_forward_after_prune_intermediate_layers": {},
    "test_prune_intermediate_layers_contract": {},
    "test_model_forward_fx": ONE_IMAGE,
    "test_model_backward_fx": {"batch_size": 2},
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def functions():
    spec = importlib.util.spec_from_file_location("timm_models", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    here = sys.modules[__name__]
    architectures = {name: Architecture.from_dict(plain) for name, plain in NETWORKS.items()}
    here.default_cfgs = generate_default_cfgs(
        {name: timm_config(a) for name, a in architectures.items()}
    )
    for name, plain in NETWORKS.items():
        entry = entry_of(plain)
        entry.__name__, entry.__module__ = name, __name__
        register_model(entry)
    return module


def entry_of(plain):
    def entry(pretrained=False, **kwargs):
        return vit_frontier(pretrained, architecture=plain, **kwargs)

    return entry


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_timms_own_tests_pass_or_are_refused(functions, function, network):
    run, options = getattr(functions, function), FUNCTIONS[function]
    networks, words = REFUSED.get(function, ((), ""))
    if network in networks:
        with pytest.raises((TypeError, ValueError), match=words):
            run(model_name=network, **options)
    elif network in LAID_OUT.get(function, ()):
        with pytest.raises(AssertionError):
            run(model_name=network, **options)
    else:
        run(model_name=network, **options)


def test_the_table_in_the_documents_is_of_these():
    text = (Path(__file__).parents[2] / "docs" / "timm.md").read_text()
    for function in FUNCTIONS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{function}`"))
        cells = [cell.strip() for cell in row.split("|")[2:-2]]
        words = dict.fromkeys(REFUSED.get(function, ((), ""))[0], "refused")
        words |= dict.fromkeys(LAID_OUT.get(function, ()), "NLC")
        assert cells == [words.get(name, "pass") for name in NETWORKS]


def test_deit_is_what_a_bare_name_makes():
    assert vit_frontier().architecture == named("deit_tiny")
