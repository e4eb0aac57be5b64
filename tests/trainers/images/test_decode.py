"""Images of every kind a folder may hold: read rightly, or refused with a reason."""

from __future__ import annotations

import contextlib
import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from trainers.images.decode import EXTENSIONS, UnreadableImageError, decode_image, shorter_side


def halves(size: int = 16) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (size, size), "red")
    image.paste("blue", (size // 2, 0, size, size))
    return image


def saved(image: Image.Image, name: str, folder: Path, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_pixels_are_channels_first_and_exact_without_resizing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = saved(Image.fromarray(values), "a.png", tmp_path)
    pixels = decode_image(path, 8)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, values.transpose(2, 0, 1))


def test_shorter_side_is_fitted_and_the_centre_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 32), "white")
    image.paste("black", (24, 0, 72, 32))  # the centre square and a margin for the filter
    assert decode_image(saved(image, "a.png", tmp_path), 8).max() == 0
    image.paste("white", (40, 0, 56, 32))
    assert decode_image(saved(image, "a.png", tmp_path), 8)[0, 4].tolist()[3:5] == [255, 255]


def test_downscaling_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = decode_image(saved(Image.fromarray(board), "a.png", tmp_path), 8)
    assert abs(pixels.astype(int) - 127.5).max() <= 3


def test_large_jpeg_decoded_at_reduced_size_looks_the_same(tmp_path: Path) -> None:
    y, x = np.indices((256, 320))
    values = np.stack([np.sin(x / 4), np.sin(y / 4), np.sin((x + y) / 6)], -1) * 90 + 128
    image = Image.fromarray(values.astype(np.uint8))
    exact = decode_image(image, 48)
    reduced = decode_image(saved(image, "a.jpg", tmp_path, quality=95), 48)
    assert abs(exact.astype(int) - reduced.astype(int)).mean() <= 4


def test_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    pixels = decode_image(saved(halves().convert("CMYK"), "a.jpg", tmp_path, quality=95), 16)
    left, right = pixels[:, 8, 2], pixels[:, 8, 13]
    assert left[0] > 240
    assert left[2] < 15
    assert right[2] > 240
    assert right[0] < 15


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.tile(np.linspace(100, 65000, 16).astype(np.uint16), (16, 1))
    pixels = decode_image(saved(Image.fromarray(values), "a.png", tmp_path), 16)
    expected = np.rint(values / 257).astype(int)
    assert abs(pixels.astype(int) - expected).max() <= 1


def test_float_tiff_from_0_to_1_is_scaled(tmp_path: Path) -> None:
    values = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))
    pixels = decode_image(saved(Image.fromarray(values), "a.tiff", tmp_path), 16)
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 0, -1] == 255
    assert pixels[0, 0, 8] == round(8 / 15 * 255)


def tiff(values: np.ndarray, bits: int, *, white_is_zero: bool, packed: bool) -> io.BytesIO:
    """Grey values as a TIFF, which Pillow does not write of 12 bits or with white as zero."""
    if bits == 12:
        ones = values.astype(">u2").view(np.uint8).reshape(-1, 2)
        data = np.packbits(np.unpackbits(ones, axis=1)[:, 4:]).tobytes()
    else:
        data = values.astype(f"<u{bits // 8}").tobytes()
    data = zlib.compress(data) if packed else data
    height, width = values.shape
    tags = {
        256: width,
        257: height,
        258: bits,
        259: 8 if packed else 1,
        262: int(not white_is_zero),
    }
    tags |= {273: 8, 277: 1, 278: height, 279: len(data)}
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return io.BytesIO(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("bits", "white_is_zero"), [(8, False), (8, True), (12, False), (16, False), (16, True)]
)
def test_grey_tiff_is_scaled_by_its_own_bits_and_polarity(
    bits: int, white_is_zero: bool, packed: bool
) -> None:
    brightness = np.tile(np.linspace(0, 1, 16), (16, 1))
    stored = np.rint((1 - brightness if white_is_zero else brightness) * (2**bits - 1))
    pixels = decode_image(tiff(stored, bits, white_is_zero=white_is_zero, packed=packed), 16)
    assert abs(pixels - brightness * 255).max() <= 1


def test_a_turned_sixteen_bit_tiff_keeps_its_polarity(tmp_path: Path) -> None:
    grey = Image.open(tiff(np.full((8, 8), 65535), 16, white_is_zero=True, packed=False))
    path = saved(grey, "a.tiff", tmp_path, tiffinfo={262: 0, 274: 6})
    assert Image.open(path).tag_v2[262] == 0
    assert decode_image(path, 8).max() == 0


def floats(values: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(file, "TIFF")
    return file


@pytest.mark.parametrize(("low", "high"), [(0, 1.0001), (-1e-6, 1), (-0.04, 1.05), (0, 0.3)])
def test_float_fractions_may_overshoot_a_little(low: float, high: float) -> None:
    values = np.tile(np.linspace(0.1, 0.2, 16), (16, 1))
    values[0, :2] = low, high
    pixels = decode_image(floats(values), 16)
    assert abs(pixels[0] - np.clip(values, 0, 1) * 255).max() <= 0.51


@pytest.mark.parametrize(("low", "high"), [(-0.06, 1), (-0.01, 2), (-1, 200), (0, 65536)])
def test_other_negative_or_large_values_are_refused(low: float, high: float) -> None:
    with pytest.raises(UnreadableImageError, match="where 0 to 65535 is allowed"):
        decode_image(floats(np.array([[low, high]] * 2)), 2)


def test_floats_beyond_fractions_keep_their_values() -> None:
    assert decode_image(floats(np.full((2, 2), 1.2)), 2).max() == 1
    assert decode_image(floats(np.full((2, 2), 200)), 2).max() == 200
    assert decode_image(floats(np.full((2, 2), 25700)), 2).max() == 100


def test_alpha_that_a_tga_does_not_use_is_ignored() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(file, "TGA")
    assert decode_image(file, 8)[:, 0, 0].tolist() == [255, 0, 0]


def test_alpha_that_a_tga_uses_lies_on_white() -> None:
    image, file = Image.new("RGBA", (8, 8), (255, 0, 0, 0)), io.BytesIO()
    image.putpixel((7, 7), (0, 255, 0, 255))
    image.save(file, "TGA")
    pixels = decode_image(file, 8)
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    assert pixels[:, 7, 7].tolist() == [0, 255, 0]


def test_float_tiff_with_nan_is_refused(tmp_path: Path) -> None:
    values = np.full((8, 8), np.nan, np.float32)
    with pytest.raises(UnreadableImageError, match="grey values"):
        decode_image(saved(Image.fromarray(values), "a.tiff", tmp_path), 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_lie_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    assert decode_image(saved(image, "a.png", tmp_path), 8).min() == 255


def test_palette_with_transparency_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (4, 0, 8, 8))
    pixels = decode_image(saved(image, "a.png", tmp_path, transparency=0), 8)
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    assert pixels[:, 0, 7].tolist() == [255, 0, 0]


def test_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = saved(frames[0], "a.gif", tmp_path, save_all=True, append_images=frames[1:])
    assert decode_image(path, 8)[:, 0, 0].tolist() == [255, 0, 0]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    path = saved(halves(), "a.jpg", tmp_path, exif=exif, quality=95)
    pixels = decode_image(path, 16)
    assert pixels[0, 2, 8] > 240  # what was left is above
    assert pixels[2, 13, 8] > 240


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_spoil_the_image(tmp_path: Path) -> None:
    path = saved(halves(), "a.jpg", tmp_path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0")
    assert decode_image(path, 16).shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "YCbCr" else "a.png"
    path = saved(Image.new("RGB", (8, 8), "white").convert(mode), name, tmp_path)
    assert decode_image(path, 8).min() >= 254


def test_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    path = saved(halves(256), "a.jpg", tmp_path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode_image(path, 16)


@pytest.mark.parametrize(
    "content", [b"", b"this is text\n" * 50, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError):
        decode_image(path, 16)


def bomb(side: int) -> io.BytesIO:
    """A PNG that says it has `side` x `side` pixels and ends after the first."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))
    )


def test_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        decode_image(bomb(60_000), 16)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [7072, 13_300])
def test_more_pixels_than_are_allowed_are_refused_before_they_are_unpacked(side: int) -> None:
    rule = f"^{side} x {side} pixels, where 50,000,000 are allowed: save it smaller$"
    with pytest.raises(UnreadableImageError, match=rule):
        decode_image(bomb(side), 16)
    with pytest.raises(UnreadableImageError, match="truncated"):  # 49,999,041 pixels
        decode_image(bomb(7071), 16)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_photograph_of_100_megapixels_is_read_as_jpeg(tmp_path: Path) -> None:
    image = Image.new("L", (12_000, 8_500), 200)
    image.paste(50, (6_000, 0, 12_000, 8_500))
    pixels = decode_image(saved(image, "a.jpg", tmp_path), 16)
    assert abs(pixels[0, 0, [2, 13]].astype(int) - [200, 50]).max() <= 1


def test_no_external_program_is_asked_to_read_an_image(tmp_path: Path) -> None:
    path = saved(halves(), "a.eps", tmp_path).rename(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="not an image, or an unknown format"):
        decode_image(path, 16)
    with pytest.raises(UnidentifiedImageError):
        shorter_side(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_accepted_extension_is_read_whatever_its_name(tmp_path: Path, extension: str) -> None:
    name = Image.registered_extensions().get(extension)
    if name not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {extension}")
    mode = {".pgm": "L", ".pbm": "1"}.get(extension, "RGB")
    image = Image.new("RGB", (16, 16), "white").convert(mode)
    image.save(tmp_path / "named.jpg", format=name)
    assert decode_image(tmp_path / "named.jpg", 16).min() >= 250
    assert shorter_side(tmp_path / "named.jpg") == 16


class Failing(io.BytesIO):
    """A file of which no more than 100 bytes can be read."""

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= 100 - self.tell():
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        MemoryError(),
        TimeoutError(errno.ETIMEDOUT, "Late"),
    ],
)
def test_what_may_pass_is_not_taken_for_a_broken_image(kind: str, error: Exception) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind)
    with pytest.raises(type(error)) as caught:
        decode_image(Failing(file.getvalue(), error), 16)
    assert caught.value is error
    with pytest.raises(UnreadableImageError):
        decode_image(Failing(file.getvalue(), OSError("truncated")), 16)


@pytest.mark.filterwarnings("ignore")
def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "a.png", "a.gif", "a.tiff", "a.webp", "a.bmp"):
        good = saved(halves(32), name, tmp_path).read_bytes()
        for _ in range(40):
            bad = bytearray(good)
            for place in rng.integers(0, len(bad), 4):
                bad[place] = rng.integers(0, 256)
            with contextlib.suppress(UnreadableImageError):
                assert decode_image(io.BytesIO(bytes(bad)), 8).shape == (3, 8, 8)


def test_shorter_side_reads_the_header(tmp_path: Path) -> None:
    assert shorter_side(saved(Image.new("RGB", (30, 20)), "a.png", tmp_path)) == 20
