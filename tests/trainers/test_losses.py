"""What is added to cross-entropy, against the released loss and closed forms."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from space import Architecture, build_model
from trainers.losses import (
    Heard,
    PatchTokens,
    cosine_regularisation,
    distillation,
    patch_diversity,
)

FOLDER = Path(__file__).parent.parent / "reference"


def test_the_cosine_regularisation_is_that_of_the_released_loss():
    """Tenth parts of it, over two pairs of neighbours, to 1e-12 in float64."""
    for case in torch.load(FOLDER / "deepvit_cosine.pt", weights_only=True)["cases"]:
        ours = 0.1 * cosine_regularisation(case["attns"][:3])
        assert float(ours) == pytest.approx(float(case["cosine"]), abs=1e-12)


def test_maps_of_unequal_numbers_of_tokens_are_no_pair():
    maps = [torch.rand(2, 3, n, n) for n in (5, 5, 3, 2)]
    assert cosine_regularisation(maps) == cosine_regularisation(maps[:2])
    assert cosine_regularisation(maps[2:]) == 0


def test_the_maps_of_the_last_forward_are_heard_once_with_gradients():
    a = Architecture(
        img_size=8, patch_size=4, num_classes=2, embed_dim=8, depth=3, num_heads=2, reattention=(1,)
    )
    model = build_model(a)
    heard = Heard(model, 2)
    model(torch.rand(2, 3, 8, 8))
    maps = heard.take()
    assert [tuple(m.shape) for m in maps] == [(2, 2, 4, 4)] * 2
    cosine_regularisation(maps).backward()
    assert model.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    assert heard.take() == []
    model.eval()(torch.rand(2, 3, 8, 8))
    assert heard.take() == []


def test_distillation_is_cross_entropy_with_the_teachers_class_or_kl_divergence():
    ours, theirs = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    hard = distillation(ours, theirs, temperature=None)
    assert hard == F.cross_entropy(ours, theirs.argmax(1))
    soft = distillation(ours, theirs, temperature=2.0)
    p, q = (theirs / 2).softmax(1), (ours / 2).softmax(1)
    assert soft == pytest.approx(float(4 * (p * (p / q).log()).sum(1).mean()), rel=1e-5)
    assert distillation(theirs, theirs, temperature=2.0) == pytest.approx(0, abs=1e-6)


def test_the_diversity_of_patches_is_that_of_the_papers_equations_with_its_gradients():
    for case in torch.load(FOLDER / "diversepatch.pt", weights_only=True)["cases"]:
        first, last = (case[name].clone().requires_grad_() for name in ("h1", "hL"))
        loss = patch_diversity(first, last)
        loss.backward()
        assert loss.item() == pytest.approx(float(case["loss_cos"] + case["loss_con"]), abs=1e-12)
        for name, ours in (("h1", first), ("hL", last)):
            theirs = case["grad_loss_cos"][name] + case["grad_loss_con"][name]
            torch.testing.assert_close(ours.grad, theirs, rtol=1e-10, atol=1e-12)
        alone = patch_diversity(first[:, :2], last)
        assert alone.item() == pytest.approx(float(case["loss_cos"]), abs=1e-12)
    assert patch_diversity(first[:, :1], last[:, :1]).item() == 0


def test_patch_tokens_leave_the_class_token_out():
    a = Architecture(
        img_size=8, patch_size=4, num_classes=2, embed_dim=8, depth=2, num_heads=2, head="token"
    )
    model = build_model(a)
    tokens = PatchTokens(model, prefix=1)
    features = model.forward_features(torch.rand(2, 3, 8, 8))
    first, last = tokens.take()
    assert first.shape == last.shape == (2, 4, 8)
    assert torch.equal(last, features[:, 1:])
    assert [len(t) for t in tokens.take()] == [0, 0]
