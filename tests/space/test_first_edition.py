"""What the first edition said of 12,000 random networks is still said: no later change moves it.

`tests/golden/first_edition.json`: for each built-in space its genes in order and size, and of 2,400
networks FLOPs, parameters, a checksum of the canonical genes and which are one; features of 40,
state-dict names of 4.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from space import (
    Architecture,
    SearchSpace,
    architecture_features,
    build_model,
    count_flops,
    count_params,
)

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "first_edition.json").read_text())


def drawn(name):
    space, rng = SearchSpace.load(name), np.random.default_rng(7)
    return space, [space.sample(rng) for _ in GOLDEN[name]["flops"]]


def checksum(space, architecture):
    genes = space.encode(architecture)
    places = [choices.index(genes[name]) for name, choices in space.genes.items()]
    return f"{zlib.crc32(json.dumps(places).encode()):08x}"


@pytest.mark.parametrize("name", GOLDEN)
def test_genes_size_and_smallest_are_what_they_were(name):
    space, golden = SearchSpace.load(name), GOLDEN[name]
    assert [(gene, list(choices)) for gene, choices in space.genes.items()] == [
        (gene, choices) for gene, choices in golden["genes"].items()
    ]
    assert space.size() == golden["size"]
    assert space.smallest() == Architecture.from_dict(golden["smallest"])


@pytest.mark.parametrize("name", GOLDEN)
def test_flops_parameters_keys_and_canonical_genes_are_what_they_were(name):
    space, networks = drawn(name)
    assert [count_flops(a) for a in networks] == GOLDEN[name]["flops"]
    assert [count_params(a) for a in networks] == GOLDEN[name]["params"]
    assert [checksum(space, a) for a in networks] == GOLDEN[name]["encoded"]
    first, same = {}, []
    for i, a in enumerate(networks):
        if first.setdefault(space.key(a), i) != i:
            same.append([first[space.key(a)], i])
    assert same == GOLDEN[name]["same"]


@pytest.mark.parametrize("name", GOLDEN)
def test_features_are_what_they_were(name):
    _, networks = drawn(name)
    for a, features in zip(networks, GOLDEN[name]["features"], strict=False):
        np.testing.assert_allclose(architecture_features(a), features, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN)
def test_state_dicts_have_the_names_and_shapes_they_had(name):
    for case in GOLDEN[name]["state_dicts"]:
        model = build_model(Architecture.from_dict(case["architecture"]))
        shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        assert shapes == case["names"]
