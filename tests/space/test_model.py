import json
import math

import pytest
import timm
import torch
from hypothesis import given, settings
from test_architecture import architectures

from space import Architecture, Pool, build_model, named


@pytest.mark.parametrize("training", [True, False])
def test_a_plain_member_loads_deit_strictly_and_gives_the_same_logits(training):
    torch.manual_seed(0)
    deit = timm.create_model("deit_tiny_patch16_224").train(training)
    ours = build_model(named("deit_tiny")).train(training)
    ours.load_state_dict(deit.state_dict(), strict=True)
    images = torch.randn(2, 3, 224, 224)
    assert torch.allclose(ours(images), deit(images), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(architectures())
def test_every_architecture_builds_runs_and_learns(architecture):
    model = build_model(architecture)
    images = torch.randn(2, architecture.in_chans, *[architecture.img_size] * 2)
    logits = model(images)
    assert logits.shape == (2, architecture.num_classes)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    features = model.eval().forward_features(images)
    assert features.shape == (2, architecture.tokens_out, architecture.embed_dim)


def test_untrained_loss_is_that_of_guessing():
    torch.manual_seed(0)
    a = Architecture(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=6, num_heads=4
    )
    loss = torch.nn.functional.cross_entropy(
        build_model(a)(torch.randn(256, 1, 8, 8)), torch.arange(256) % 10
    )
    assert loss.item() == pytest.approx(math.log(10), abs=0.1)


def test_the_class_token_is_never_pooled():
    a = Architecture(
        img_size=8, patch_size=2, embed_dim=8, depth=1, num_heads=1, head="token",
        pools=(Pool(after=0),),
    )  # fmt: skip
    pool = build_model(a).blocks[0].pool
    with torch.no_grad():
        pool.pos_embed.zero_()
    x = torch.randn(2, 17, 8)
    assert torch.equal(pool(x)[:, 0], x[:, 0])
    assert torch.equal(pool(x)[:, 1], x[:, 1:4].amax(1))
    assert torch.equal(pool(x)[:, 7], x[:, 13:16].amax(1))


def test_positional_embeddings_and_class_token_are_not_decayed():
    a = Architecture(
        img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=1, head="token",
        pools=(Pool(after=0),),
    )  # fmt: skip
    assert build_model(a).no_weight_decay() == {
        "pos_embed",
        "cls_token",
        "blocks.0.pool.pos_embed",
    }


def test_timm_builds_a_network_from_its_plain_dict():
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=2, reattention=(1,))
    model = timm.create_model("vit_frontier", architecture=json.loads(json.dumps(a.to_dict())))
    assert model.architecture == a
