"""What a step of a training does to the weights: AdamW, or Muon for the matrices of the blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from trainers.recipe import Recipe

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal (Jordan et al., 2024), for matrices alone.

    Nesterov's momentum, five Newton-Schulz steps, the rate times sqrt(max(1, rows / columns)),
    decoupled weight decay. A group's `apart` says of how many matrices below each other a weight
    consists. Matrices of one shape are worked on at once. `lr` may be a tensor ().
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: Tensor | float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "apart": 1})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step for all matrices that have a gradient."""
        stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            if not found:
                continue
            torch._foreach_mul_(found, 1 - group["lr"] * group["weight_decay"])
            for weight, towards in zip(found, self._towards(found), strict=True):
                rows, columns = weight.shape[0] // group["apart"], weight.shape[1]
                apart = (group["apart"], rows, columns)
                stacks.setdefault(apart[1:], []).append((weight.view(apart), towards.view(apart)))
        rate = self.param_groups[0]["lr"]
        for (rows, columns), pairs in stacks.items():
            weights = [weight for weight, _ in pairs]
            step = orthogonal(torch.cat([towards for _, towards in pairs]))
            step = step * (-rate * max(1, rows / columns) ** 0.5)
            torch._foreach_add_(weights, torch.split(step, [len(weight) for weight in weights]))

    def _towards(self, weights: list[nn.Parameter]) -> list[Tensor]:
        """Gradients with Nesterov's momentum."""
        gradients: list[Tensor] = [weight.grad for weight in weights if weight.grad is not None]
        momenta: list[Tensor] = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            momenta.append(state["momentum"])
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, momenta, MOMENTUM))


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, R, C) with singular values near 1 and the same singular vectors."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def optimizers_of(
    model: nn.Module,
    recipe: Recipe,
    *,
    rate: Tensor,
    matrix_rate: Tensor,
    layer_rates: Tensor | None = None,
) -> tuple[torch.optim.Optimizer, ...]:
    """What steps the parameters of a model, by `recipe.optimizer`.

    AdamW has no weight decay on norms, biases, positional embeddings and the class token. `rate`
    and `matrix_rate` () hold the learning rates of a step of AdamW and of Muon, `layer_rates` those
    of AdamW by layer, see `layer_scales`.
    """
    matrices = matrices_of(model) if recipe.optimizer == "muon" else {}
    skipped: Any = getattr(model, "no_weight_decay", set)()
    groups = param_groups_weight_decay(model, recipe.weight_decay, no_weight_decay_list=skipped)
    for group in groups:
        group["params"] = [p for p in group["params"] if p not in matrices]
    if layer_rates is not None:
        groups = _by_layer(model, groups, layer_rates.unbind())
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=rate, fused=True, capturable=rate.is_cuda,
    )  # fmt: skip
    if not matrices:
        return (adamw,)
    by_apart: dict[int, list[Tensor]] = {}
    for weight, apart in matrices.items():
        by_apart.setdefault(apart, []).append(weight)
    ours = [
        {"params": weights, "apart": apart, "weight_decay": recipe.weight_decay}
        for apart, weights in by_apart.items()
    ]
    return adamw, Muon(ours, lr=matrix_rate)


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What it remembers of its steps, by "parameter.name"; its settings are not among it."""
    return {
        f"{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def load_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Has it go on from `moments_of` one of equal parameters, with the settings that it has. Raises
    ValueError or RuntimeError."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    settings = [dict(group) for group in optimizer.param_groups]  # rates may be tensors in place
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for group, before in zip(optimizer.param_groups, settings, strict=True):
        group.update(before)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def layer_scales(model: nn.Module, decay: float) -> list[float]:
    """What the learning rate is multiplied by in each layer: the stem, every block, the head."""
    blocks: Any = getattr(model, "blocks", ())
    return [decay ** (len(blocks) + 1 - layer) for layer in range(len(blocks) + 2)]


def _by_layer(
    model: nn.Module, groups: list[dict[str, Any]], rates: tuple[Tensor, ...]
) -> list[dict[str, Any]]:
    """The groups, apart for each layer with that layer's rate."""
    layers = {p: _layer(name, len(rates) - 1) for name, p in model.named_parameters()}
    return [
        {**group, "params": [p for p in group["params"] if layers[p] == layer], "lr": rate}
        for group in groups
        for layer, rate in enumerate(rates)
    ]


def _layer(name: str, last: int) -> int:
    """The layer of a parameter: 0 for stem and embeddings, the last one for norm and head."""
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return 0 if name.startswith(("patch_embed.", "cls_token", "pos_embed")) else last


def matrices_of(model: nn.Module) -> dict[Tensor, int]:
    """The weights of linear layers in the blocks, each with how many matrices it consists of:
    queries, keys and values are apart."""
    blocks: Any = getattr(model, "blocks", ())
    return {
        layer.weight: 3 if name.rpartition(".")[2] == "qkv" else 1
        for block in blocks
        for name, layer in block.named_modules()
        if isinstance(layer, nn.Linear)
    }
