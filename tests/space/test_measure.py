"""What torch writes otherwise is counted alike: einsum, padded convolutions, free operators."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from space import measure_flops


class Of(nn.Module):
    """`function` of an image and of parameters of these shapes."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


@pytest.mark.parametrize(
    ("equation", "shapes", "exact"),
    [
        ("bhid,bhjd->bhij", [(1, 3, 197, 64)] * 2, 3 * 197 * 197 * 64),
        ("bnc,dc->bnd", [(1, 197, 192), (577, 192)], 197 * 192 * 577),
        ("bhij,gh->bgij", [(1, 12, 197, 197), (12, 12)], 12 * 12 * 197 * 197),
        ("bchw,cd->bdhw", [(1, 13, 17, 19), (13, 23)], 13 * 23 * 17 * 19),
        ("...ij,...jk->...ik", [(2, 3, 11, 13), (2, 3, 13, 17)], 2 * 3 * 11 * 13 * 17),
        ("ab,bc,cd->ad", [(11, 13), (13, 17), (17, 19)], 11 * 13 * 17 + 11 * 17 * 19),
        ("ij,jk", [(11, 13), (13, 17)], 11 * 13 * 17),
        ("bc,bc->bc", [(11, 13)] * 2, 0),  # a product of elements is free, as `mul` is
        ("bij->bji", [(3, 11, 13)], 0),
    ],
)
def test_einsum_is_counted_to_the_last_digit(equation, shapes, exact):
    model = Of(lambda x, *weights: torch.einsum(equation, *weights), *shapes)
    assert measure_flops(model, (1, 2, 2)) == exact


@pytest.mark.parametrize(
    "free",
    [
        lambda x: x.amax((2, 3)),
        lambda x: x.amin(1) + x.aminmax(dim=1).max,
        lambda x: F.fold(F.unfold(x, 3, padding=1), 8, 3, padding=1),
        lambda x: x.nan_to_num().tan().expm1().cumprod(1),
        lambda x: F.adaptive_avg_pool3d(x[None], 2),
        lambda x: F.interpolate(x, 4, mode="bicubic", antialias=True),
        lambda x: F.interpolate(x[0], 4, mode="linear"),
        lambda x: torch.concat([x, x.ravel().view_as(x)]).multiply(2).subtract(1).divide(3),
        lambda x: x.scatter(1, torch.zeros(x.shape, dtype=torch.int64), x).diagonal(dim1=2, dim2=3),
        lambda x: x.median(1).values.kthvalue(1).values,
    ],
)
def test_what_multiplies_and_adds_nothing_is_free(free):
    assert measure_flops(Of(free), (3, 8, 8)) == 0


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_with_named_padding_is_counted_as_any_other(groups):
    model = nn.Conv2d(4, 8, 3, padding="same", groups=groups)
    assert measure_flops(model, 10) == 3 * 3 * 4 * 8 // groups * 100


def test_an_operator_that_nobody_counts_is_refused():
    with pytest.raises(ValueError, match="no handle counts aten::fft_fft2"):
        measure_flops(Of(lambda x: torch.fft.fft2(x).real), (3, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("hiera_tiny_224", 4_900_830_720),
        ("tnt_s_legacy_patch16_224", 5_216_875_008),
        ("volo_d1_224", 6_918_741_504),
        ("convmixer_768_32", 20_676_851_712),
        ("mvitv2_tiny", 4_676_957_952),
        ("samvit_base_patch16_224", 17_522_227_200),
    ],
)
def test_networks_of_others_are_counted_exactly(name, exact):
    assert measure_flops(timm.create_model(name), 224) == exact
