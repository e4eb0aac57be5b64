"""Patch merging against Shuffle's module and timm's Swin."""

import pytest
import torch
from timm.models.swin_transformer import PatchMerging
from vectors import cases, check_counts, check_enumerated, close, follows

from space import Architecture, SearchSpace, Shape, build_model
from space.parts import Merge


@pytest.mark.parametrize("case", cases("shuffle", "merge"))
def test_merging_behind_a_batch_norm_equals_shuffles(case):
    config, (rows, columns) = case["config"], case["x"].shape[-2:]
    merge = Merge(growth=config["out_dim"] / config["dim"], norm="batch")
    module = merge.build(Shape((rows, columns), rows * columns, 0, config["dim"]))
    follows(
        module,
        case,
        forward=lambda x: module(x.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(case["y"]),
    )


@pytest.mark.parametrize("grid", [(4, 6), (3, 5)])
def test_merging_before_a_layer_norm_equals_swins(grid):
    torch.manual_seed(0)
    rows, columns = grid
    theirs = PatchMerging(6, 12).double()
    ours = Merge().build(Shape(grid, rows * columns, 0, 6)).double()
    torch.nn.init.normal_(theirs.norm.weight)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, rows, columns, 6, dtype=torch.float64)
    close(ours(x.flatten(1, 2)), theirs(x).flatten(1, 2))


SPACE = {
    "img_size": 6,
    "patch_size": [1, 2],
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 8,
    "depth": [2, 3],
    "head_dim": [4, 8],
    "mlp_ratio": 2,
    "head": ["avg", "token"],
    "merge": {"stages": [0, 1, 2], "growth": [1, 1.5, 2], "norm": ["layer", "batch"]},
}


@pytest.mark.parametrize(
    "change", [{}, {"conv_pool": {"stages": [0, 1], "growth": [1.5, 2]}, "head": "avg"}]
)
def test_a_space_of_merging_enumerates_encodes_and_check_counts(change):
    space = SearchSpace.from_dict({**SPACE, **change})
    check_enumerated(space)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("head", ["avg", "token"])
def test_networks_count_alike_and_learn(norm, head):
    space = SearchSpace.from_dict(SPACE)
    genes = {"depth": 3, "merge_stages": 2, "merge_1_after": 0, "merge_2_after": 1}
    a = space.decode({**genes, "merge_growth": 1.5, "merge_norm": norm, "head": head})
    assert [place.shape.dim for place in a.walk()] == [8, 12, 20]
    assert [place.shape.tokens for place in a.walk()] == [36, 9, 4]
    check_counts(a)
    model = build_model(a)
    model(torch.randn(4, 1, 6, 6)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"norm": "group"}, r"`norm` must be one of \['layer', 'batch'\]"),
        ({"growth": 5}, r"`growth` must be a number from 1 to 4"),
        ({"keep": 2}, r"Unknown merge key 'keep'"),
    ],
)
def test_impossible_merging_is_refused(part, message):
    plain = Architecture(img_size=4, patch_size=1, embed_dim=8, depth=1, num_heads=1).to_dict()
    stages = [{**plain["stages"][0], "then": [{"kind": "merge", **part}]}]
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict({**plain, "stages": stages})
