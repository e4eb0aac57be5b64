"""One image of any kind -> (3, S, S) uint8. Which images are refused is decided here."""

# The formats that `EXTENSIONS` name, known by their bytes, in any colour mode. EXIF rotation is
# applied, of an animation the first frame is read, transparent pixels are laid over white, and
# values of 16 or 12 bits are divided by 257 or 16.06.

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Callable, Mapping
from os import PathLike
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

Pixels = NDArray[np.uint8]
Source = str | PathLike[str] | IO[bytes] | Image.Image

EXTENSIONS = tuple(
    ".jpg .jpeg .jfif .jpe .png .apng .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif"
    " .ico .tga".split()
)
MOST_PIXELS = 50_000_000  # that are unpacked for one image; of 16-bit grey they take 1 GB meanwhile
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_ERRORS = "EIO ESTALE EMFILE ENFILE ENOMEM ETIMEDOUT ENOTCONN EREMOTEIO EAGAIN".split()
_PASSING = {getattr(errno, name) for name in _ERRORS if hasattr(errno, name)}


class UnreadableImageError(Exception):
    """An image that cannot be decoded; the message is the reason in one line."""


def decode_image(source: Source, img_size: int) -> Pixels:
    """The image as (3, img_size, img_size): shorter side resized bicubically, centre cut.

    Raises UnreadableImageError with the reason, whatever the bytes are, but errors that `may_pass`
    as they are.
    """
    try:
        if isinstance(source, Image.Image):
            return _pixels(source, img_size)
        with Image.open(source, formats=_formats()) as image:
            # A JPEG is decoded at 1/2, 1/4 or 1/8 size where that keeps twice the wanted pixels.
            image.draft(None, (2 * img_size, 2 * img_size))
            _check_size(*image.size)
            return _pixels(image, img_size)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not an image, or an unknown format") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on broken bytes
        if may_pass(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(reason[:200]) from None


def may_pass(error: BaseException) -> bool:
    """Whether the image may be whole: the disk did not answer now, or there was no memory."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _PASSING
    )


def shorter_side(source: Source) -> int:
    """Pixels of the shorter side, from the header alone where `source` is a file."""
    if isinstance(source, Image.Image):
        return min(source.size)
    with Image.open(source, formats=_formats()) as image:
        return min(image.size)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the accepted formats. Of the others, EPS would start Ghostscript."""
    by_extension = Image.registered_extensions()
    return tuple(dict.fromkeys(by_extension[e] for e in EXTENSIONS if e in by_extension))


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels, where {MOST_PIXELS:,} are allowed: save it smaller"
        )


def sample_sides(source: Callable[[int], Source], rows: NDArray[np.int64]) -> list[int]:
    """The shorter sides of up to 256 of `rows`; broken images are passed over."""
    sides = []
    for row in rows[:: len(rows) // 256 + 1].tolist():
        with contextlib.suppress(Exception):  # it is named when it is decoded
            sides.append(shorter_side(source(row)))
    return sides


def _pixels(image: Image.Image, img_size: int) -> Pixels:
    tags = getattr(image, "tag_v2", {})  # of a TIFF; a turned image has none
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # a broken EXIF block does not spoil the image
        if may_pass(error):
            raise
    rgb = fit_square(_rgb(image, tags), img_size)
    return np.ascontiguousarray(np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1))


def fit_square(image: Image.Image, img_size: int) -> Image.Image:
    """The shorter side resized to `img_size`, the centre kept."""
    width, height = image.size
    if width == height == img_size:
        return image
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((img_size, img_size), Image.Resampling.BICUBIC, box, reducing_gap=3.0)


def _rgb(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """The image (its first frame) in mode RGB."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_eight_bit(np.asarray(image), mode, tags)).convert("RGB")
    if image.format == "TGA" and mode in _ALPHA_MODES and not image.getchannel("A").getbbox():
        return image.convert("RGB")  # programs that do not use alpha leave it 0
    if mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    return image.convert("RGB")


def _eight_bit(values: NDArray[Any], mode: str, tags: Mapping[int, Any]) -> Pixels:
    """Grey values of more than 8 bits as 0 to 255; `values` is (H, W), `tags` are those of a
    TIFF."""
    # "I;16" is divided by 257, that of a 12-bit TIFF by 16.06: the largest value of its bits
    # becomes 255. It is inverted where the TIFF says that white is zero. "I" and "F" do not state
    # their range: values up to 255 stay as they are, up to 65,535 are divided by 257. "F" from
    # -0.05 to 1.05 is a fraction with what interpolation may add: cut to 0 to 1 and multiplied by
    # 255.
    low, high = float(values.min()), float(values.max())
    if mode == "F" and -0.05 <= low <= high <= 1.05:
        scaled = values.clip(0, 1) * 255.0
    elif not 0 <= low <= high <= 65535:  # also true for NaN
        raise UnreadableImageError(
            f"grey values from {low:g} to {high:g}, where 0 to 65535 is allowed"
        )
    elif mode.startswith("I;16"):
        bits = tags.get(ExifTags.Base.BitsPerSample, (16,))[0]
        scaled = values / ((2**bits - 1) / 255)
        if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
            scaled = 255 - scaled
    elif high > 255:
        scaled = values / 257.0
    else:
        scaled = values
    return np.rint(scaled).astype(np.uint8)
