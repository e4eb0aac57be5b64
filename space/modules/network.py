"""The network of an architecture, put together from its parts under timm's state-dict names."""

# No `from __future__ import annotations`: torch.fx and TorchScript read those of `forward`.

from collections import defaultdict
from typing import Any

import torch
from timm.layers import DropPath, global_pool_nlc
from torch import Tensor, nn

from space.architecture import Architecture
from space.modules.block import Block, Blocks, mask_from
from space.modules.intermediates import Intermediates
from space.modules.norms import norm_of

EMBEDDINGS = ("pos_embed", "cls_token", "reg_token")


class VisionTransformer(Intermediates):
    """The network of `architecture`: (B, in_chans, img_size, img_size) to logits (B, classes)."""

    def __init__(self, architecture: Architecture, *, drop_path_rate: float = 0.0) -> None:
        super().__init__(architecture)
        a = architecture
        start = a.start
        self.num_classes, self.in_chans, self.global_pool = a.num_classes, a.in_chans, str(a.head)
        self.num_features = self.head_hidden_size = self.embed_dim = a.embed_dim
        registers = a.variant.reg_tokens
        self.num_prefix_tokens, self.has_class_token = start.prefix, start.prefix > registers
        self.patch_embed = a.stem.build(a.image)
        has_class, width = self.has_class_token, start.dim
        self.cls_token = nn.Parameter(torch.empty(1, 1, width)) if has_class else None
        self.reg_token = nn.Parameter(torch.empty(1, registers, width)) if registers else None
        placed = a.positions > 0
        self.pos_embed = nn.Parameter(torch.empty(1, a.positions, width)) if placed else None
        self.blocks = Blocks(*_blocks(a, drop_path_rate), mask_from=mask_from(a))
        self.norm_pre = norm_of(a.variant, width) if a.variant.pre_norm else nn.Identity()
        norm = norm_of(a.variant, a.embed_dim) if a.variant.final_norm else nn.Identity()
        late = a.variant.fc_norm
        self.norm: nn.Module = nn.Identity() if late else norm
        self.fc_norm: nn.Module = norm if late else nn.Identity()
        self.head = nn.Linear(a.embed_dim, a.num_classes) if a.num_classes else nn.Identity()
        self._init_weights()

    def _init_weights(self) -> None:
        """timm's: truncated normal 0.02 for linear layers and embeddings, zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith(EMBEDDINGS):
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _init_linear(module)

    def no_weight_decay(self) -> set[str]:
        """Names of the positional embeddings and the class token (timm's convention)."""
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.endswith(EMBEDDINGS)}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's: which parameters stand together in depth, for rates that decay by layer. What is
        done after a block goes with it, the last norm with the last block."""
        return {
            "stem": r"^(?:cls_token|reg_token|pos_embed|patch_embed|norm_pre)",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^(?:fc_)?norm", (99999,))],
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether the activations inside of blocks are computed again in the backward pass."""
        self.blocks.grad_checkpointing = enable

    def get_classifier(self) -> nn.Module:
        """The head: of `embed_dim` features, of `num_classes` outputs."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head, initialised; none for 0 classes, when the network gives its features.
        `architecture` follows. Raises ValueError on a `global_pool` that the network lacks."""
        if global_pool is not None:
            self.check_pool(global_pool)
        self.architecture = self.architecture.replace(num_classes=num_classes)
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        if isinstance(self.head, nn.Linear):
            _init_linear(self.head)
        self.head = self.head.to(next(self.patch_embed.parameters())).train(self.training)

    def check_pool(self, global_pool: str) -> None:
        """Raises ValueError on a `global_pool` that the network lacks."""
        pools = ("avg", "avgmax", "max", "", *(("token",) if self.has_class_token else ()))
        if global_pool not in pools:
            raise ValueError(
                f"`global_pool` must be {', '.join(map(repr, pools[:-1]))} or {pools[-1]!r}, which "
                f"the network has, but got {global_pool!r:.80}."
            )

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised tokens (B, N, C) of images (B, in_chans, img_size, img_size)."""
        return self.norm(self.blocks(self.tokens(x)))

    def tokens(self, x: Tensor) -> Tensor:
        """The tokens (B, N, C) that enter the first block."""
        x = self.patch_embed(x)
        placed = self.architecture.stem.places_prefix
        x = x if placed or self.pos_embed is None else x + self.pos_embed
        before = [token for token in (self.cls_token, self.reg_token) if token is not None]
        if before:
            x = torch.cat([*(token.expand(x.shape[0], -1, -1) for token in before), x], dim=1)
        return self.norm_pre(x + self.pos_embed if placed and self.pos_embed is not None else x)

    def losses(self) -> list[Tensor]:
        """What the last forward in training adds to the loss: for each kind of module that offers
        `loss()`, the mean over its places. Empty for networks without such parts."""
        found: dict[type, list[Tensor]] = defaultdict(list)
        for module in self._with_losses():
            loss = module.loss()
            if loss is not None:
                found[type(module)].append(loss)
        return [torch.stack(losses).mean() for losses in found.values()]

    def _with_losses(self) -> list[Any]:
        return [m for m in self.modules() if m is not self and hasattr(type(m), "loss")]

    def pool(self, x: Tensor, pool_type: str | None = None) -> Tensor:
        """One vector (B, C) of tokens (B, N, C), or these for ''; by default as `global_pool`."""
        pool_type = self.global_pool if pool_type is None else pool_type
        pooled: Tensor = global_pool_nlc(x, pool_type, self.num_prefix_tokens)
        return pooled

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, num_classes) of tokens (B, N, C), or the pooled features (B, C)."""
        x = self.fc_norm(self.pool(x))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def drop_paths(model: nn.Module) -> list[nn.Module]:
    """The modules, of any network, that leave branches out in training."""
    return [module for module in model.modules() if isinstance(module, DropPath)]


def _init_linear(layer: nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _blocks(a: Architecture, drop_path_rate: float) -> list[Block]:
    """The blocks in order; drop path grows linearly from 0 at the first to its rate at the last."""
    blocks = []
    for place in a.walk():
        stage, shape = place.stage, place.shape
        then = tuple((part, seen) for part, _, seen in place.then)
        for index in range(stage.depth):
            number, last = place.first + index, index == stage.depth - 1
            rate = drop_path_rate * number / max(a.depth - 1, 1)
            after = then if last else ()
            block = Block(stage, shape, after, index=index, drop_path=rate, variant=a.variant)
            blocks.append(block)
    return blocks
