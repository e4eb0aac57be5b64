"""What is said when nobody can hear it, and of names from outside."""

import dataclasses
import io
import os

import pytest
from rich.console import Console

from search.messages import LastingStream, interrupted_text, introduce, printable
from search.settings import SearchSettings
from space import SearchSpace
from trainers import Recipe, load_dataset


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def introduction(dataset):
    """What is said of these images, behind what is said of every search."""
    settings = SearchSettings(budget=10**6, space=SearchSpace.load("digits"))
    text = io.StringIO()
    introduce(settings, dataset, Recipe.for_dataset(dataset), Console(file=text, width=80))
    return text.getvalue().splitlines()[3:]


def test_nothing_is_said_of_images_that_are_as_they_should_be(digits):
    assert introduction(digits) == []


def test_files_that_do_not_end_like_images_are_said(digits):
    others = (
        (".heic", 1180),
        ("", 3),
        (".\x1b\udce9", 2),
        (".a", 1),
        (".b", 1),
        (".c", 1),
        (".d", 1),
    )
    (line,) = introduction(dataclasses.replace(digits, other_files=others))
    assert line.startswith(
        "Left out: files ending in .heic (1,180), nothing (3), .\\x1b\\udce9 (2), .a (1), .b (1) "
        "and others; images end in .apng, .avif, "
    )
    (line,) = introduction(dataclasses.replace(digits, other_files=others[:1]))
    assert line.startswith("Left out: files ending in .heic (1,180); images end in .apng, ")


@pytest.mark.parametrize("lost", ["reader", "disk"])
def test_what_cannot_be_written_is_lost_without_a_word(lost):
    if lost == "reader":
        there, here = os.pipe()
        os.close(there)
    else:
        here = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(here, "w") as stream:
        console = Console(file=LastingStream(stream))
        for _ in range(3):
            console.print("a line")
            console.file.flush()


def test_what_a_terminal_would_obey_is_shown_instead():
    assert printable("a/\x1b[31mrot\n.png") == "a/\\x1b[31mrot\\n.png"
    assert printable("ä/日本.png") == "ä/日本.png"


def test_a_run_folder_is_named_as_it_is(capsys):
    Console().print(interrupted_text("x[/y]"), markup=False)
    assert "vit-frontier resume x[/y]" in capsys.readouterr().out
