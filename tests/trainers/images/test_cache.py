"""The cache of decoded images: decoded once, resumed, renewed when files change, safe to share."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_cache import CONTENTS, flat, opened, rows

from trainers.errors import DataError
from trainers.images.cache import cache_root, open_cache
from trainers.images.decoded import is_decoded
from trainers.images.stored import StoredImages

ROOT = Path(__file__).parent.parent.parent.parent


def caches(root: Path) -> list[str]:
    """All that lies there but the lock."""
    return [name for name in os.listdir(root) if name != ".lock"]


OPENS = """
import sys
from pathlib import Path
from trainers.images.cache import open_cache
contents = {"source": "a folder", "files": [["a.png", 1, 2]]}
print(open_cache(Path(sys.argv[1]), contents, count=10, img_size=4).directory, flush=True)
sys.stdin.read()
"""


def opening(root: Path) -> subprocess.Popen[str]:
    """Another process that opens `CONTENTS`, says where, and lives until its input ends."""
    command, pipe = [sys.executable, "-c", OPENS, str(root)], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def test_other_contents_are_another_cache_and_remove_the_stale_one(tmp_path: Path) -> None:
    with opening(tmp_path) as other:
        directory = Path(other.communicate()[0].strip())
    assert directory.is_dir()
    new = opened(tmp_path, files=[["a.png", 1, 3]])
    assert new.directory != directory
    assert not directory.exists()
    elsewhere = opened(tmp_path, source="another folder")
    assert new.directory.exists()
    assert elsewhere.directory.exists()


def test_a_cache_that_another_process_uses_is_not_removed_before_that_ends(tmp_path: Path) -> None:
    with opening(tmp_path) as other:
        used = Path(other.stdout.readline().strip())
        changed = opened(tmp_path, files=[["a.png", 1, 3]])
        assert changed.decode(rows(1), flat) == {}
        assert sorted(os.listdir(used)) == ["cache.json", "images.npy", "state.npy"]
        other.communicate()
    opened(tmp_path, files=[["a.png", 1, 3]])
    assert caches(tmp_path) == [changed.directory.name]


def test_a_process_goes_on_with_what_it_opened_of_a_folder_that_changes(tmp_path: Path) -> None:
    old = opened(tmp_path)
    new = opened(tmp_path, files=[["a.png", 1, 3]])
    for cache in (old, new, opened(tmp_path)):
        assert cache.decode(rows(1), flat) == {}
        assert cache.images(rows(1)).max() == 1


def test_a_damaged_cache_that_is_in_use_is_made_anew(tmp_path: Path) -> None:
    with opening(tmp_path) as other:
        used = Path(other.stdout.readline().strip())
        os.truncate(used / "images.npy", 0)
        cache = opened(tmp_path)
        assert cache.directory == used
        assert cache.decode(rows(1), flat) == {}
        other.communicate()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    old = opened(tmp_path)
    new = opened(tmp_path, files=[["a.png", 1, 3]])
    assert new.decode(rows(1), flat) == {}
    assert not old.directory.exists()
    assert caches(tmp_path) == [new.directory.name]


HOLDS = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_cache_is_opened_by_one_process_at_a_time_and_a_killed_one_is_not_waited_for(
    tmp_path: Path,
) -> None:
    command, pipe = [sys.executable, "-c", HOLDS, str(tmp_path / ".lock")], subprocess.PIPE
    waiting = threading.Thread(target=opened, args=(tmp_path,))
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        other.stdout.readline()
        waiting.start()
        waiting.join(timeout=1)
        assert waiting.is_alive()
        assert caches(tmp_path) == []
        other.kill()
    waiting.join(timeout=60)
    assert len(caches(tmp_path)) == 1


def test_a_cache_whose_user_was_killed_is_removed_once_it_is_out_of_date(tmp_path: Path) -> None:
    with opening(tmp_path) as killed:
        used = Path(killed.stdout.readline().strip())
        killed.kill()
    changed = opened(tmp_path, files=[["a.png", 1, 3]])
    assert not used.exists()
    assert caches(tmp_path) == [changed.directory.name]


def test_directories_belong_to_the_user_alone(tmp_path: Path) -> None:
    root = cache_root(tmp_path / "cache")
    cache = opened(root)
    assert root.stat().st_mode & 0o777 == 0o700
    assert cache.directory.stat().st_mode & 0o777 == 0o700


def test_cache_root_follows_xdg_where_that_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "vit-frontier"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "relative/folder", "./relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_root() == tmp_path / "home" / ".cache" / "vit-frontier"
        assert not (tmp_path / "relative").exists()


def test_cache_holds_plain_arrays_and_json(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.decode(rows(1), flat)
    assert sorted(os.listdir(cache.directory)) == ["cache.json", "images.npy", "state.npy"]
    assert json.loads((cache.directory / "cache.json").read_text())["source"] == "a folder"
    images = np.load(cache.directory / "images.npy", mmap_mode="r", allow_pickle=False)
    assert images.shape == (10, 3, 4, 4)


def test_several_at_once_make_one_cache(tmp_path: Path) -> None:
    def work() -> None:
        opened(tmp_path, count=300).decode(np.arange(300), lambda row: flat(row % 256))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caches(tmp_path)) == 1
    values = opened(tmp_path, count=300).images(np.arange(300))[:, 0, 0, 0]
    assert values.tolist() == [row % 256 for row in range(300)]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 1),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "missing": lambda file: file.unlink(),
    "no array": lambda file: file.write_bytes(b"no array" * 100),
    "another shape": lambda file: np.save(file, np.ones((10, 4, 4, 3), np.uint8)),
    "another type": lambda file: np.save(file, np.ones((10, 3, 4, 4), np.float32)),
    "a broken header": lambda file: file.write_bytes(file.read_bytes().replace(b"(10,", b"(1(,")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["images.npy", "state.npy"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, name: str, damage: str) -> None:
    cache = opened(tmp_path)
    cache.decode(np.arange(10), flat)
    stored = StoredImages(cache.directory / "images.npy", np.arange(10))
    DAMAGES[damage](cache.directory / name)
    again = opened(tmp_path)
    assert again.missing() == 10
    assert again.decode(np.arange(10), flat) == {}
    assert again.images(np.arange(10))[:, 0, 0, 0].tolist() == list(range(10))
    assert is_decoded([stored])


@pytest.mark.parametrize("damage", ["empty", "truncated", "missing", "no array"])
@pytest.mark.parametrize("name", ["images.npy", "state.npy"])
def test_a_damaged_cache_of_another_machine_does_not_count(
    tmp_path: Path, name: str, damage: str
) -> None:
    cache = opened(tmp_path)
    cache.decode(np.arange(10), flat)
    DAMAGES[damage](cache.directory / name)
    assert not is_decoded([StoredImages(cache.directory / "images.npy", np.arange(10))])


def test_a_mapped_file_outlives_the_renewal_of_its_damaged_cache(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.decode(np.arange(10), flat)
    mapped = StoredImages(cache.directory / "images.npy", np.arange(10)).pixels
    (cache.directory / "state.npy").unlink()
    assert opened(tmp_path).missing() == 10
    assert mapped[:, 0, 0, 0].tolist() == list(range(10))


def test_a_whole_cache_is_opened_without_reading_its_pixels(tmp_path: Path) -> None:
    open_cache(tmp_path, CONTENTS, count=1_000_000, img_size=64)
    tracemalloc.start()
    try:
        open_cache(tmp_path, CONTENTS, count=1_000_000, img_size=64)
        assert tracemalloc.get_traced_memory()[1] < 1e6  # bytes, of 12 GB
    finally:
        tracemalloc.stop()


def test_a_damaged_cache_is_renewed_once_for_all_who_find_it(tmp_path: Path) -> None:
    def work(barrier: threading.Barrier, found: list[list[int]]) -> None:
        barrier.wait()
        cache = opened(tmp_path)
        cache.decode(np.arange(10), flat)
        found.append(cache.images(np.arange(10))[:, 0, 0, 0].tolist())

    for _ in range(20):
        barrier, found = threading.Barrier(8), list[list[int]]()
        (opened(tmp_path).directory / "images.npy").write_bytes(b"")
        threads = [threading.Thread(target=work, args=(barrier, found)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [list(range(10))] * 8


def test_cache_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cache must be writable, but .*file.*XDG_CACHE_HOME"):
        cache_root(tmp_path / "file")
