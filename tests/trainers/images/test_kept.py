"""Decoded images that are kept: what lies there, and what is removed."""

import json
import os

import numpy as np
import pytest
from command_line import call_here

from trainers.images.cache import _held, open_cache
from trainers.images.kept import clear, kept_images


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "vit-frontier"
    folder.mkdir()
    for source in ("/photos/cats", "hfds/beans in /data"):
        made = open_cache(folder, {"source": source, "files": []}, count=1000, img_size=32)
        np.load(made.directory / "state.npy", mmap_mode="r+")[:700] = 1
        os.close(_held.pop(made.directory))  # as if the process were over
    return folder


def test_a_cache_tells_its_data_its_size_on_disk_and_its_age(root):
    cats = next(kept for kept in kept_images(root) if kept.source == "/photos/cats")
    assert (cats.decoded, cats.count, cats.img_size, cats.in_use) == (700, 1000, 32, False)
    assert 0 < cats.on_disk < 100_000 < 3 * 32**2 * 1000  # rows that nobody wrote take nothing
    for file in cats.directory.iterdir():
        os.utime(file, (0, 0))
    assert next(k for k in kept_images(root) if k.source == cats.source).age > 10**9


def test_a_cache_in_use_stays_and_another_goes(root):
    mine = open_cache(root, {"source": "mine", "files": []}, count=2, img_size=4)
    held = {kept.source: kept.in_use for kept in kept_images(root)}
    assert held == {"/photos/cats": False, "hfds/beans in /data": False, "mine": True}
    gone = clear(root, kept_images(root))
    assert {kept.source for kept in gone} == {"/photos/cats", "hfds/beans in /data"}
    assert [kept.directory for kept in kept_images(root)] == [mine.directory]


def test_a_damaged_cache_is_listed_and_removed(root):
    for kept in kept_images(root):
        (kept.directory / "cache.json").write_text("{")
    assert {kept.source for kept in kept_images(root)} == {"damaged"}
    assert len(clear(root, kept_images(root))) == 2


def test_the_command_lists_and_clears_what_it_is_asked_for(root, monkeypatch, capsys):
    code, said = call_here(monkeypatch, capsys, "cache")
    assert code == 0
    assert "/photos/cats: 700 of 1,000 images at 32 pixels" in said
    assert "2 caches in" in said
    code, said = call_here(monkeypatch, capsys, "cache", "hfds/beans", "--clear", "--json")
    assert json.loads(said.splitlines()[0])["removed"] == 1
    code, said = call_here(monkeypatch, capsys, "cache", "/photos", "--clear")
    assert "Removed 1 cache" in said
    code, said = call_here(monkeypatch, capsys, "cache")
    assert said.startswith("No decoded images are kept in")


def test_the_command_lists_and_clears_the_logits_of_teachers(root, monkeypatch, capsys):
    file = root / "logits-0123.npy"
    np.save(file, np.zeros((100, 10), np.float32))
    assert "Logits of teachers: 1 file, 4.13 kB." in call_here(monkeypatch, capsys, "cache")[1]
    said = call_here(monkeypatch, capsys, "cache", "/photos", "--clear", "--json")[1]
    assert json.loads(said.splitlines()[0])["logits"] == []
    assert file.exists()
    assert "1 file, 4.13 kB, removed." in call_here(monkeypatch, capsys, "cache", "--clear")[1]
    assert not file.exists()
