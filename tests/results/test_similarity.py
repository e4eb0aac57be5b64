"""How alike maps and tokens are, against what the authors' module gives."""

import json
from pathlib import Path

import pytest
import torch

from results.similarity import inspected, map_similarity, token_similarity
from space import Architecture, Pool, build_model

CASES = torch.load(
    Path(__file__).parent.parent / "reference" / "deepvit_similarity.pt", weights_only=True
)["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_the_similarity_of_maps_is_equation_2_of_deepvit(case):
    found = torch.tensor(map_similarity(case["attns"]), dtype=torch.float64)
    assert (found - case["similarity_eq2_mean"]).abs().max() < 1e-10


def test_equal_tokens_are_alike_and_orthogonal_ones_are_not():
    assert token_similarity(torch.ones(2, 5, 3)) == pytest.approx(1.0)
    assert token_similarity(torch.eye(4)[None]) == pytest.approx(0.0, abs=1e-12)


def test_maps_of_other_sizes_are_not_compared_and_blocks_keep_their_numbers():
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=4, num_heads=2,
        reattention=(2, 3), pools=(Pool(after=1, kernel_size=2),),
    )  # fmt: skip
    told = inspected(build_model(a).eval(), [torch.randn(2, 1, 8, 8), torch.randn(1, 1, 8, 8)])
    assert told["blocks"] == [0, 1, 2, 3]
    assert told["maps"][1][2] is None
    assert told["maps"][2][2] == pytest.approx(1.0)
    assert len(told["tokens"]) == 4
    assert json.loads(json.dumps(told)) == told


def test_batches_are_weighed_by_their_images():
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=3, num_heads=2,
    )  # fmt: skip
    model, images = build_model(a).eval(), torch.randn(5, 1, 8, 8)
    whole, parts = inspected(model, [images]), inspected(model, list(images.split(2)))
    assert parts["images"] == 5
    assert parts["tokens"] == pytest.approx(whole["tokens"], abs=1e-6)
    assert parts["before"][1:] == pytest.approx(whole["before"][1:], abs=1e-6)
