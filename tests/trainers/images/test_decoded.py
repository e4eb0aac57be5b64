"""Images of a cache: decoded once, resumed, read again, explained when the disk fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_cache import CONTENTS, flat, never, opened, rows
from PIL import Image

from trainers.errors import DataError
from trainers.images.cache import open_cache
from trainers.images.decoded import READ_AGAIN, _OpenArray

ROOT = Path(__file__).parent.parent.parent.parent


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    assert cache.decode(rows(3, 1, 7), flat) == {}
    images = cache.images(rows(7, 3, 1))
    assert images.shape == (3, 3, 4, 4)
    assert images[:, 0, 0, 0].tolist() == [7, 3, 1]


def test_decoded_rows_are_not_decoded_again(tmp_path: Path) -> None:
    opened(tmp_path).decode(rows(1, 2), flat)
    again = opened(tmp_path)
    again.decode(rows(2, 1), never)
    with pytest.raises(AssertionError, match="row 5"):
        again.decode(rows(1, 5), never)


def test_interrupted_decoding_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def interrupted(row: int) -> Image.Image:
        if row >= 600:
            raise KeyboardInterrupt
        return flat(row % 256)

    cache = opened(tmp_path, count=1000)
    with pytest.raises(KeyboardInterrupt):
        cache.decode(np.arange(1000), interrupted)
    asked: list[int] = []
    cache.decode(np.arange(1000), lambda row: asked.append(row) or flat(row % 256))
    assert sorted(asked) == list(range(512, 1000))
    assert cache.missing() == 0
    assert cache.images(np.arange(1000))[:, 0, 0, 0].tolist() == [row % 256 for row in range(1000)]


def test_unreadable_rows_are_named_and_tried_again(tmp_path: Path) -> None:
    def broken(row: int) -> Image.Image:
        raise PermissionError(13, "Permission denied")

    cache = opened(tmp_path)
    assert cache.decode(rows(4), broken) == {4: "Permission denied"}
    assert cache.missing() == 10
    assert cache.decode(rows(4), flat) == {}


class Failing:
    """A source of images that fails so many times first."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times = error, times

    def __call__(self, row: int) -> Image.Image:
        if self.times:
            self.times -= 1
            raise self.error
        return flat(row)


STALE = OSError(errno.ESTALE, "Stale file handle", "/images/7.png")
NO_MEMORY = OSError(errno.ENOMEM, "Cannot allocate memory", "/images/7.png")


@pytest.mark.parametrize("error", [STALE, NO_MEMORY, MemoryError()])
def test_an_image_is_read_again_after_an_error_that_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(READ_AGAIN, "sleep", pauses.append)
    cache = opened(tmp_path)
    assert cache.decode(rows(7), Failing(error, times=2)) == {}
    assert pauses == [0.2, 2.0]
    assert cache.images(rows(7)).max() == 7


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            STALE,
            r"readable, but /images/7.png: Stale file handle\. See that the disk .* is kept; or",
        ),
        (NO_MEMORY, r"memory .* but /images/7.png: Cannot allocate memory\. .* smaller images"),
        (MemoryError(), r"memory .* but image 7: MemoryError\. .* smaller images"),
    ],
)
def test_an_error_that_may_pass_and_does_not_ends_the_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(READ_AGAIN, "sleep", lambda seconds: None)
    with pytest.raises(DataError, match=message):
        opened(tmp_path).decode(rows(7), Failing(error, times=3))


def test_progress_counts_to_the_number_of_missing_rows(tmp_path: Path) -> None:
    cache, calls = opened(tmp_path, count=700), list[tuple[int, int]]()
    cache.decode(np.arange(100), flat)
    cache.decode(np.arange(700), lambda row: flat(0), lambda *call: calls.append(call))
    assert calls[-1] == (600, 600)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_rows_nobody_asked_for_take_no_space(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, CONTENTS, count=100_000, img_size=64)
    cache.decode(rows(99_999), lambda row: flat(9))
    status = (cache.directory / "images.npy").stat()
    assert status.st_size > 1e9
    assert status.st_blocks * 512 < 1e6
    assert cache.images(rows(99_999)).max() == 9


def test_large_images_are_decoded_few_at_a_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("trainers.images.decoded._WINDOW_BYTES", 64 * 3 * 4**2)
    calls: list[tuple[int, int]] = []
    opened(tmp_path, count=200).decode(np.arange(200), flat, lambda *call: calls.append(call))
    at_once = max(64, len(os.sched_getaffinity(0)))
    assert [done for done, _ in calls] == [*range(at_once, 200, at_once), 200]


def test_images_that_the_disk_has_no_room_for_are_refused_before_one_is_decoded(
    tmp_path: Path,
) -> None:
    free = shutil.disk_usage(tmp_path).free
    count = free // (3 * 4096**2) + 2
    cache = open_cache(tmp_path, CONTENTS, count=count, img_size=4096)
    rule = rf"room for {count:,} decoded images of 4096 pixels, {count * 3 * 4096**2:,} bytes, but"
    with pytest.raises(DataError, match=rf"{rule} .* has [\d,]+ bytes free: make room"):
        cache.decode(np.arange(count), never)
    assert cache.decode(rows(0), lambda row: Image.new("RGB", (1, 1))) == {}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_explained(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    array = _OpenArray(cache.directory / "images.npy")
    array._path = Path("/dev/full")
    with array, pytest.raises(DataError, match="No space left"):
        array.write(0, np.zeros((3, 4, 4), np.uint8))


def test_a_disk_that_refuses_what_was_written_is_explained(tmp_path: Path, monkeypatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(DataError, match=r"but .*images.npy: Disk quota exceeded.*XDG_CACHE_HOME"):
        opened(tmp_path).decode(rows(1), flat)


def test_a_full_cache_on_a_full_disk_with_a_broken_image_is_used(tmp_path: Path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert opened(tmp_path).decode(rows(4), lambda row: tmp_path).keys() == {4}


READ_ONLY = """
import ctypes, sys
import numpy as np
from pathlib import Path
from PIL import Image
from trainers.images.cache import open_cache
from trainers.errors import DataError

root, libc = Path(sys.argv[1]), ctypes.CDLL(None)
own_namespace, recursive_private, bind, remount_read_only = 2**17, 2**18 + 2**14, 2**12, 2**5 + 1
if (
    libc.unshare(own_namespace)
    or libc.mount(None, b"/", None, recursive_private, None)
    or libc.mount(bytes(root), bytes(root), None, bind, None)
    or libc.mount(None, bytes(root), None, bind + remount_read_only, None)
):
    sys.exit(77)
contents = {"source": "a folder", "files": [["a.png", 1, 2]]}
cache = open_cache(root, contents, count=10, img_size=4)
print(cache.decode(np.arange(10), lambda row: root / "broken.png"))
print(cache.images(np.array([3]))[0, 0, 0, 0])
try:
    cache.decode(np.arange(10), lambda row: Image.new("RGB", (4, 4)))
except DataError as error:
    print(error)
"""


def test_a_read_only_cache_with_a_broken_image_is_used(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.decode(np.arange(9), flat)
    (tmp_path / "broken.png").write_text("no image")
    command = [sys.executable, "-c", READ_ONLY, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("needs the right to mount")
    assert done.stdout.splitlines() == [
        "{9: 'not an image, or an unknown format'}",
        "3",
        f"The image cache must be writable, but {cache.directory}/images.npy: Read-only file "
        "system. Make room there, or set another directory by XDG_CACHE_HOME or `cache_dir`.",
    ], done.stderr
