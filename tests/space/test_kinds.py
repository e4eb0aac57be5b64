"""What every kind of attention is held to, whatever it does."""

import copy

import pytest
import torch

from results.drawing import block_drawing
from space import Architecture, SearchSpace, Stage, build_model
from space.parts import KINDS, placed_kinds, read_part
from space.placements import Among

FIELDS = {"tome": {"r": 3}, "evit": {"keep": 0.5}, "window": {"size": 2, "gaze": 3},
          "shuffle": {"size": 2}, "wide": {"head_dim": 4}}  # fmt: skip
ATTENTION = [
    kind.kind
    for kind in placed_kinds()
    if isinstance(kind.placement, Among) and kind.placement.role == "attention"
]


def network(kind):
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, embed_dim=16, depth=2, num_heads=2, num_classes=3,
        head="avg" if kind in ("window", "shuffle") else "token",
    )  # fmt: skip
    part = read_part("attention", {"kind": kind, "num_heads": 2, **FIELDS.get(kind, {})})
    stage = Stage(depth=1, attention=part, mlp=a.stages[0].mlp)
    both = (stage, stage) if part.changes() else (Stage(depth=2, attention=part, mlp=stage.mlp),)
    return a.replace(stages=both)


@pytest.mark.parametrize("kind", ATTENTION)
def test_a_kind_trains_in_bfloat16_and_can_be_copied_afterwards(kind):
    torch.manual_seed(0)
    model, images = build_model(network(kind)).train(), torch.randn(3, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(images)
    out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(out.float(), model(images), rtol=0.1, atol=0.1)
    again = copy.deepcopy(model).eval()
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(images), model.eval()(images))


@pytest.mark.parametrize("kind", ATTENTION)
def test_a_kind_is_drawn_with_its_mark_and_read_from_what_was_written(kind):
    a = network(kind)
    assert Architecture.from_dict(a.to_dict()) == a
    drawn, part = str(block_drawing(a)), a.stages[0].attention
    assert f">{part.mark.letter}</text>" in drawn
    assert part.words() in drawn
    letters = [KINDS[other].mark.letter for other in ATTENTION]
    assert letters.count(part.mark.letter) == 1


def test_a_space_without_their_tables_has_no_gene_and_writes_no_table_of_them():
    values = {"img_size": [8], "patch_size": [2], "embed_dim": [8], "depth": [2, 3],
              "num_heads": [1, 2]}  # fmt: skip
    space = SearchSpace.from_dict(values)
    assert list(space.genes) == ["depth", "num_heads"]
    assert not set(space.to_dict()) & set(ATTENTION)
