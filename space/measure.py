"""FLOPs of any network by tracing it with fvcore, nothing silently left out."""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn

# Operators without multiply-accumulates by the convention of `space.flops`. Everything that is
# neither here nor counted below or by fvcore raises.
_FREE = frozenset(
    "aten::" + name
    for name in """
    abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add add_
    addcdiv addcmul alias all any arange argmax argmin argsort avg_pool1d avg_pool2d avg_pool3d
    batch_norm bernoulli bernoulli_ bitwise_and bitwise_not bitwise_or broadcast_tensors
    broadcast_to cat ceil chunk clamp clamp_ clamp_max clamp_min clone constant_pad_nd
    contiguous copy_ cos cumsum detach dim div div_ dropout dropout_ elu elu_ embedding empty
    empty_like eq erf exp expand expand_as eye feature_dropout fill_ flatten flip floor
    floor_divide full full_like gather ge gelu gelu_ glu group_norm gt hardsigmoid hardsigmoid_
    hardswish hardswish_ hardtanh hardtanh_ index index_put index_put_ index_select
    instance_norm is_grad_enabled isinf isnan item layer_norm le leaky_relu leaky_relu_
    lift_fresh lift_fresh_copy linalg_vector_norm linspace log log1p log2 log_softmax
    logical_and logical_not logical_or logsigmoid logsumexp lt masked_fill masked_fill_ max
    max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d maximum
    mean meshgrid min minimum mish movedim mul mul_ narrow native_layer_norm ne neg new_empty
    new_full new_ones new_zeros norm normalize numel numpy_T one_hot ones ones_like pad permute
    pixel_shuffle pixel_unshuffle pow prelu prod rand rand_like randn randn_like reciprocal
    reflection_pad2d relu relu6 relu_ remainder repeat repeat_interleave replication_pad2d
    reshape reshape_as resolve_conj rms_norm roll round rsqrt rsub scalar_tensor scatter_add select
    selu selu_ sigmoid sigmoid_ sign silu silu_ sin size slice softmax softplus softsign sort split
    split_with_sizes sqrt square squeeze stack std std_mean sub sub_ sum swapaxes t tanh tanh_
    tile to topk transpose tril triu type_as unbind unflatten unfold unsqueeze
    upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean view view_as where
    zero_ zeros zeros_like
    """.split()
)


def measure_flops(model: nn.Module, input_size: int | tuple[int, ...]) -> int:
    """Multiply-accumulates of one forward pass of `model` on one image, traced by fvcore in eval
    mode; 0.2 to 2 s. `input_size`: pixels, (H, W) or (C, H, W). Raises ValueError on an uncounted
    operator."""
    # Without C, channels are the model's, else 3. The model's modes are put back. An operator that
    # is known to be free of multiply-accumulates needs no handle.
    parameter = next(model.parameters(), torch.empty(0))
    if isinstance(input_size, int):
        size: tuple[int, ...] = (_in_chans(model), input_size, input_size)
    elif len(input_size) == 2:
        size = (_in_chans(model), *input_size)
    else:
        size = tuple(input_size[-3:])
    image = torch.zeros(1, *size, device=parameter.device, dtype=parameter.dtype)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.jit's own deprecation
            analysis = FlopCountAnalysis(model, image).set_op_handle(**_HANDLES)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            analysis.tracer_warnings("none")
            total = int(analysis.total())
            unknown = sorted(set(analysis.unsupported_ops()) - _FREE)
    finally:
        logger.setLevel(level)
        for module, training in modes.items():
            module.training = training
    if unknown:
        raise ValueError(
            f"Every operator must be counted, but no handle counts {', '.join(unknown)} of "
            f"{type(model).__name__}: add a handle to space.measure, or list it there as free of "
            "multiply-accumulates."
        )
    return total


def _in_chans(model: nn.Module) -> int:
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """q k^T and A v of `scaled_dot_product_attention`: B h N M (d_k + d_v)."""
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _matmul(inputs: list[Any], outputs: list[Any]) -> int:
    """Elements of the product times the length summed over; right under broadcasting too."""
    return math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


def _added_matmul(inputs: list[Any], outputs: list[Any]) -> int:
    return math.prod(get_shape(outputs[0])) * get_shape(inputs[1])[-1]


def _added_sum_of_matmuls(inputs: list[Any], outputs: list[Any]) -> int:
    batch, _, inner = get_shape(inputs[1])
    return math.prod(get_shape(outputs[0])) * batch * inner


def _free(inputs: list[Any], outputs: list[Any]) -> int:
    return 0


_HANDLES = {
    "aten::scaled_dot_product_attention": _attention,
    **{f"aten::{name}": _matmul for name in ("matmul", "mm", "bmm", "mv", "dot", "linear")},
    **{f"aten::{name}": _added_matmul for name in ("addmm", "baddbmm", "addmv")},
    "aten::addbmm": _added_sum_of_matmuls,
    # fvcore counts what these cost in elementary operations; the convention leaves them out.
    **{
        f"aten::{name}": _free
        for name in """batch_norm group_norm layer_norm instance_norm upsample_nearest2d
        upsample_bilinear2d adaptive_avg_pool2d grid_sampler mul mul_ mean""".split()
    },
}
