"""The network of an architecture, put together from its parts under timm's state-dict names."""

# No `from __future__ import annotations`: torch.fx and TorchScript read those of `forward`.

import contextlib
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import torch
from timm.layers import DropPath, LayerScale, create_act_layer, global_pool_nlc
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from space.architecture import Architecture, Stage
from space.modules.intermediates import Intermediates
from space.parts.part import Part, Shape
from space.variant import OURS, Variant

EMBEDDINGS = ("pos_embed", "cls_token", "reg_token")
LAYER_SCALE = 1e-5  # that blocks with layer scale begin with


class Block(nn.Module):
    """Pre-norm block `x + f(LN(r x)) / r` for attention and MLP, then what is done to the tokens:
    a module for each part, named by its kind (`pool`)."""

    def __init__(
        self,
        stage: Stage,
        shape: Shape,
        then: tuple[tuple[Part, Shape], ...],
        *,
        index: int,
        drop_path: float,
        variant: Variant = OURS,
    ) -> None:
        """`index`: of the block in its stage; `then`: the parts after it with their shapes."""
        super().__init__()
        self.residual_scale = float(stage.residual_scale)
        eps = variant.norm_eps
        self.norm1 = nn.LayerNorm(shape.dim, eps=eps)
        self.attn: Any = stage.attention.at(index).build(shape)
        inside = stage.attention.after(shape)
        self.norm2 = nn.LayerNorm(inside.dim, eps=eps)
        self.mlp: Any = stage.mlp.at(index).build(inside)
        if variant.qk_norm:
            self.attn.q_norm = nn.LayerNorm(self.attn.head_dim, eps=eps)
            self.attn.k_norm = nn.LayerNorm(self.attn.head_dim, eps=eps)
        if variant.act_layer != OURS.act_layer:
            self.mlp.act = create_act_layer(variant.act_layer)
        scaled = stage.layer_scale
        self.ls1 = LayerScale(inside.dim, LAYER_SCALE) if scaled else nn.Identity()
        self.ls2 = LayerScale(inside.dim, LAYER_SCALE) if scaled else nn.Identity()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.carries = getattr(self.attn, "carries", False)
        self.has_shortcut = hasattr(self.attn, "shortcut")
        self.has_between = hasattr(self.attn, "between")
        self.hands_on = self.carries or self.has_between  # it cannot be computed again later
        self.local = None if stage.local is None else stage.local.at(index).build(shape)
        self.after: list[str] = []
        for part, seen in then:
            name = part.kind.rpartition(":")[2].lower()
            while hasattr(self, name):
                name += "_"
            self.add_module(name, part.build(seen))
            self.after.append(name)

    def forward(
        self, x: Tensor, keep: Tensor | None = None, carried: dict[str, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, N, C) to (B, N', C). With a part that masks tokens in training, also which of them
        are kept (B, N), for the attention of the blocks that follow.

        `carried`: what attention hands on in this forward (sizes of merged tokens, shared maps).
        """
        r, carried = self.residual_scale, {} if carried is None else carried
        normed = self.norm1(x * r if r != 1.0 else x)
        told = (carried,) if self.carries else () if keep is None else (keep,)
        mixed = self.ls1(self.attn(normed, *told))
        branch = None if self.local is None else self.local(x)
        x = self.attn.shortcut(x, normed) if self.has_shortcut else x
        x = x + self.drop_path(mixed if r == 1.0 else mixed / r)
        x = self.attn.between(x, carried) if self.has_between else x
        out = self.ls2(self.mlp(self.norm2(x if r == 1.0 else x * r)))
        x = x + self.drop_path(out if r == 1.0 else out / r)
        if branch is not None:
            x = x + branch
        for name in self.after:
            module = getattr(self, name)
            out = module(x) if keep is None else module(x, keep)
            x, keep = out if isinstance(out, tuple) else (out, keep)
            carried.clear()
        return x if keep is None else (x, keep)


class Blocks(nn.Sequential):
    """Blocks in a row, which hand on what tokens are kept if one of them masks some in training."""

    # From `mask_from` on all that come before that one have a mask too, of tokens that are all
    # kept: the masked softmax is not quite the plain one.

    def __init__(self, *blocks: Block, mask_from: int | None) -> None:
        super().__init__(*blocks)
        self.mask_from = mask_from
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        state: tuple[Tensor, ...] = (x,)
        carried: dict[str, Tensor] = {}
        for index, block in enumerate(self):
            state = self.step(index, block, state, carried)
        return state[0]

    def step(
        self, index: int, block: nn.Module, state: tuple[Tensor, ...], carried: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """What leaves a block: the tokens and, where some are masked, which are kept."""
        if index == self.mask_from and self.training:
            state = (state[0], state[0].new_ones(state[0].shape[:2]))
        if self.grad_checkpointing and self.training:
            return _checkpointed(block, state, carried)
        out = block(*state, carried=carried)
        return out if isinstance(out, tuple) else (out,)

    def keep(self, architecture: Architecture) -> None:
        """Leaves out the blocks behind those of `architecture`, the first of these."""
        del self[architecture.depth :]
        self.mask_from = _mask_from(architecture)


def _checkpointed(
    block: nn.Module, state: tuple[Tensor, ...], carried: dict[str, Tensor]
) -> tuple[Tensor, ...]:
    """A block whose activations are computed again in the backward pass."""

    # What is carried goes in and out as a copy: the second run must find what the first one did.
    def run(state: tuple[Tensor, ...], carried: dict[str, Tensor]) -> Any:
        carried = dict(carried)
        out = block(*state, carried=carried)
        return (out if isinstance(out, tuple) else (out,)), carried

    out, handed_on = checkpoint(
        run,
        state,
        dict(carried),
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(block)),
    )
    carried.clear()
    carried.update(handed_on)
    return out


@contextlib.contextmanager
def _statistics_kept(block: nn.Module) -> Generator[None]:
    """Running statistics are as before: those of the second run were gathered in the first."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)


class VisionTransformer(Intermediates):
    """The network of `architecture`: (B, in_chans, img_size, img_size) to logits (B, classes)."""

    def __init__(self, architecture: Architecture, *, drop_path_rate: float = 0.0) -> None:
        super().__init__(architecture)
        a = architecture
        start = a.start
        self.num_classes, self.in_chans, self.global_pool = a.num_classes, a.in_chans, str(a.head)
        self.num_features = self.head_hidden_size = self.embed_dim = a.embed_dim
        registers, eps = a.variant.reg_tokens, a.variant.norm_eps
        self.num_prefix_tokens, self.has_class_token = start.prefix, start.prefix > registers
        self.patch_embed = a.stem.build(a.image)
        has_class, width = self.has_class_token, start.dim
        self.cls_token = nn.Parameter(torch.empty(1, 1, width)) if has_class else None
        self.reg_token = nn.Parameter(torch.empty(1, registers, width)) if registers else None
        self.pos_embed = nn.Parameter(torch.empty(1, a.positions, start.dim))
        self.blocks = Blocks(*_blocks(a, drop_path_rate), mask_from=_mask_from(a))
        self.norm_pre = nn.LayerNorm(start.dim, eps=eps) if a.variant.pre_norm else nn.Identity()
        norm, late = nn.LayerNorm(a.embed_dim, eps=eps), a.variant.fc_norm
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
        self.head = self.head.to(self.pos_embed).train(self.training)

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
        x = x if placed else x + self.pos_embed
        before = [token for token in (self.cls_token, self.reg_token) if token is not None]
        if before:
            x = torch.cat([*(token.expand(x.shape[0], -1, -1) for token in before), x], dim=1)
        return self.norm_pre(x + self.pos_embed if placed else x)

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


def _mask_from(a: Architecture) -> int | None:
    """The first of the blocks that can have a mask, up to one that masks tokens in training."""
    first = 0
    for place in a.walk():
        if not place.stage.attention.takes_mask:
            first = place.first + place.stage.depth
        if any(part.masks for part, _, _ in place.then):
            return first
        if not all(part.takes_mask for part, _, _ in place.then):
            first = place.first + place.stage.depth
    return None
