import dataclasses

import pytest
import torch
from torch import nn

from space import Architecture, Pool, build_model
from trainers import Recipe, load_dataset, train_proxy
from trainers.optimizers import MOMENTUM, Muon, matrices_of, optimizers_of, orthogonal

TINY = Architecture(
    img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=16, depth=2, num_heads=2,
    reattention=(0,), pools=(Pool(after=0),), head="token",
)  # fmt: skip
MUON = Recipe(optimizer="muon", matrix_rate=0.05, epochs=3)


def decayed_and_plain(recipe):
    model = build_model(TINY)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rate = torch.zeros(())
    found = {True: set(), False: set()}
    for optimizer in optimizers_of(model, recipe, rate=rate, matrix_rate=rate):
        for group in optimizer.param_groups:
            here = {names[id(parameter)] for parameter in group["params"]}
            assert not here & (found[True] | found[False])
            found[group["weight_decay"] > 0] |= here
    assert found[True] | found[False] == set(names.values())
    return found[True], found[False]


@pytest.mark.parametrize("recipe", [Recipe(), MUON], ids=["adamw", "muon"])
def test_no_decay_on_norms_biases_positions_and_class_token(recipe):
    decayed, plain = decayed_and_plain(recipe)
    for name in ("cls_token", "pos_embed", "blocks.0.pool.pos_embed", "norm.weight", "head.bias"):
        assert name in plain
    for name in ("patch_embed.proj.weight", "blocks.0.attn.reatten_matrix.weight", "head.weight"):
        assert name in decayed


def test_muon_has_the_linear_layers_of_the_blocks_and_no_others():
    model = build_model(TINY)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {names[weight]: apart for weight, apart in matrices_of(model).items()}
    layers = {"attn.qkv": 3, "attn.proj": 1, "mlp.fc1": 1, "mlp.fc2": 1}
    assert found == {f"blocks.{i}.{n}.weight": k for i in range(2) for n, k in layers.items()}


@pytest.mark.parametrize("shape", [(4, 16, 16), (2, 64, 16), (1, 16, 48)])
def test_orthogonal_keeps_singular_vectors_and_brings_values_near_one(shape):
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(shape, generator=generator)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    inner = u.mT @ orthogonal(given) @ v.mT
    values = torch.diagonal(inner, dim1=1, dim2=2)
    assert values.min() > 0.4
    assert values.max() < 1.3
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-4


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_steps_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    ours = [nn.Parameter(draw(48, 16)), nn.Parameter(draw(16, 48)), nn.Parameter(draw(16, 16))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    muon = Muon([{"params": ours, "weight_decay": 0.05}], lr=torch.tensor(0.02))
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.05, momentum=MOMENTUM)
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = draw(*a.shape)
            b.grad = a.grad.clone()
        muon.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)  # theirs works in bf16


def test_queries_keys_and_values_are_matrices_of_their_own():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    whole = nn.Parameter(draw(48, 16))
    thirds = [nn.Parameter(part.clone()) for part in whole.detach().chunk(3)]
    whole.grad = draw(48, 16)
    for part, gradient in zip(thirds, whole.grad.chunk(3), strict=True):
        part.grad = gradient.clone()
    Muon([{"params": [whole], "apart": 3}], lr=0.1).step()
    Muon([{"params": thirds}], lr=0.1).step()
    torch.testing.assert_close(whole.detach(), torch.cat([p.detach() for p in thirds]))


def test_three_epochs_of_muon_learn_more_than_three_of_adamw():
    data = load_dataset("digits")
    network = dataclasses.replace(TINY, head="avg")
    adamw = train_proxy(network, data, dataclasses.replace(MUON, optimizer="adamw"), 0)
    muon = train_proxy(network, data, MUON, 0)
    assert muon.accuracy > adamw.accuracy
