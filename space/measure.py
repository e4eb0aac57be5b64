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
from torch.utils.flop_counter import FlopCounterMode

# Operators without multiply-accumulates by the convention of `space.flops`. Everything that is
# neither here nor counted below or by fvcore raises.
_FREE = frozenset(
    "aten::" + name
    for name in """
    abs abs_ absolute absolute_ acos acosh adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_
    addcdiv addcdiv_ addcmul addcmul_ alias all alpha_dropout alpha_dropout_ amax amin aminmax
    angle any arange argmax argmin argsort argwhere as_strided asin asinh atan atan2 atanh
    atleast_1d atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d batch_norm bernoulli
    bernoulli_ bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor block_diag broadcast_tensors broadcast_to bucketize
    cartesian_prod cat ceil celu celu_ channel_shuffle chunk clamp clamp_ clamp_max clamp_max_
    clamp_min clamp_min_ clip clip_ clone col2im column_stack combinations complex concat
    concatenate conj constant_pad_nd contiguous copy_ copysign cos cos_ cosh count_nonzero
    cummax cummin cumprod cumsum deg2rad detach detach_ diag diag_embed diagonal diff dim div
    div_ divide dropout dropout_ dsplit dstack elu elu_ embedding empty empty_like empty_strided
    eq erf erfc erfinv exp exp2 exp_ expand expand_as expm1 exponential_ eye
    feature_alpha_dropout feature_dropout feature_dropout_ fill_ fix flatten flip fliplr flipud
    float_power floor floor_ floor_divide fmax fmin fmod fmod_ frac frexp frobenius_norm full
    full_like gather ge gelu gelu_ glu greater greater_equal group_norm gt hardshrink
    hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ heaviside hsplit hstack
    hypot im2col imag index index_add index_add_ index_copy index_fill index_fill_ index_put
    index_put_ index_select instance_norm is_grad_enabled isclose isfinite isin isinf isnan
    isneginf isposinf isreal item kthvalue layer_norm ldexp le leaky_relu leaky_relu_ lerp less
    less_equal lift_fresh lift_fresh_copy linalg_vector_norm linspace log log10
    log1p log2 log_ log_sigmoid log_softmax logaddexp logcumsumexp logical_and logical_not
    logical_or logical_xor logit logspace logsumexp lt masked_fill masked_fill_ masked_scatter
    masked_scatter_ masked_select max max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool2d max_unpool3d maximum
    mean median meshgrid min minimum mish mish_ mode moveaxis movedim msort mul mul_ multiply
    nan_to_num nanmean nanmedian nansum narrow native_batch_norm native_channel_shuffle
    native_dropout native_group_norm native_layer_norm native_norm ne neg neg_ negative
    new_empty new_empty_strided new_full new_ones new_zeros nonzero nonzero_numpy norm
    norm_except_dim normal_ normalize not_equal numel numpy_T one_hot ones ones_like pad permute
    pixel_shuffle pixel_unshuffle positive pow pow_ prelu prod put quantile rad2deg rand
    rand_like randint randint_like randn randn_like random_ randperm range ravel real reciprocal
    reciprocal_ reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 relu6_ relu_
    remainder remainder_ repeat repeat_interleave replication_pad1d replication_pad2d
    replication_pad3d reshape reshape_as resolve_conj rms_norm roll rot90 round round_ rrelu
    rsqrt rsqrt_ rsub scalar_tensor scatter scatter_ scatter_add scatter_add_ scatter_reduce
    searchsorted select select_scatter selu selu_ sgn sigmoid sigmoid_ sign signbit silu silu_
    sin sin_ sinc sinh size slice slice_scatter softmax softplus softshrink softsign sort
    special_erf special_expit special_expm1 special_log1p special_log_softmax special_logit
    special_softmax special_xlogy split split_with_sizes sqrt sqrt_ square squeeze squeeze_
    stack std std_mean sub sub_ subtract sum swapaxes swapdims t take take_along_dim tan tanh
    tanh_ tensor_split threshold threshold_ tile to topk transpose tril tril_ tril_indices triu
    triu_ triu_indices true_divide trunc type_as unbind unflatten unfold uniform uniform_
    unique_consecutive unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_
    upsample_bicubic2d _upsample_bicubic2d_aa upsample_bilinear2d _upsample_bilinear2d_aa
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    upsample_trilinear3d vander var var_mean view view_as view_as_complex view_as_real vsplit
    vstack where xlogy zero zero_ zeros zeros_like
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


def _padded_convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Of `padding="same"` or "valid"."""
    out = get_shape(outputs[0])
    return math.prod(get_shape(inputs[1])) * out[0] * math.prod(out[2:])


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """The products that torch makes of it, by torch's own counter: fvcore reads four digits of
    numpy's text."""
    shapes = (get_shape(tensor) for tensor in inputs[1].node().inputs())
    operands = [torch.empty(shape, device="meta") for shape in shapes]
    path = inputs[2].node() if len(inputs) > 2 else None  # of opt_einsum, for three and more
    if path is not None and path.kind() == "prim::ListConstruct":
        path = [place.toIValue() for place in path.inputs()]
    else:
        path = None if path is None else inputs[2].toIValue()
    with FlopCounterMode(display=False) as counter:
        torch.ops.aten.einsum(inputs[0].toIValue(), operands, path=path)
    return counter.get_total_flops() // 2


def _free(inputs: list[Any], outputs: list[Any]) -> int:
    return 0


_HANDLES = {
    "aten::scaled_dot_product_attention": _attention,
    **{f"aten::{name}": _matmul for name in ("matmul", "mm", "bmm", "mv", "dot", "linear")},
    **{f"aten::{name}": _added_matmul for name in ("addmm", "baddbmm", "addmv")},
    "aten::_convolution_mode": _padded_convolution,
    "aten::einsum": _einsum,
    "aten::addbmm": _added_sum_of_matmuls,
    # fvcore counts what these cost in elementary operations; the convention leaves them out.
    **{
        f"aten::{name}": _free
        for name in """batch_norm group_norm layer_norm instance_norm upsample_nearest2d
        upsample_bilinear2d adaptive_avg_pool2d grid_sampler mul mul_ mean""".split()
    },
}
