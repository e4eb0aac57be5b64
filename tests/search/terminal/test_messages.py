"""What is said when nobody can hear it, and of names from outside."""

import dataclasses
import io
import os

import numpy as np
import pytest
from rich.console import Console

from search.settings import SearchSettings
from search.terminal.messages import LastingStream, interrupted_text, introduce, printable
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


def test_a_dataset_is_named_so_that_it_can_be_printed(digits):
    settings = SearchSettings(budget=10**6, space=SearchSpace.load("digits"))
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    named = dataclasses.replace(digits, name="/data/caf\udce9")
    introduce(settings, named, Recipe.for_dataset(digits), Console(file=file))
    file.seek(0)
    assert "Data: /data/caf\\udce9, 8 pixels" in file.read()


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
    assert line == (
        "Left out: files ending in .heic (1,180), nothing (3), .\\x1b\\udce9 (2), .a (1), .b (1) "
        "and others, which are not read."
    )
    (line,) = introduction(dataclasses.replace(digits, other_files=others[:1]))
    assert line == "Left out: files ending in .heic (1,180), which are not read."


def test_images_of_two_splits_are_said(digits):
    twice = dataclasses.replace(
        digits, test_images=digits.train_images[:9], test_labels=digits.train_labels[:9]
    )
    assert introduction(twice) == [
        "9 of 9 test images have the very pixels of one of another split: the test accuracy is "
        "told too high."
    ]


def test_few_validation_images_are_said(digits):
    few = dataclasses.replace(
        digits, val_images=digits.val_images[:60], val_labels=digits.val_labels[:60]
    )
    assert introduction(few) == [
        "60 validation images tell an accuracy of 50 % to 6.5 points (standard error): give more "
        "by --val-samples or more data."
    ]


def test_how_images_were_found_is_said(digits):
    said = dataclasses.replace(digits, remarks=("Splits: \x1b/ is the training split.",))
    assert introduction(said) == ["Splits: \\x1b/ is the training split."]


@pytest.mark.parametrize(
    ("classes", "largest", "said"),
    [(2, 984, "98.4 %"), (2, 740, ""), (10, 210, "21.0 %"), (10, 200, ""), (4, 501, "50.1 %")],
)
def test_a_class_that_is_most_of_the_validation_images_is_said(digits, classes, largest, said):
    labels = np.arange(1000) % (classes - 1) + 1
    labels[:largest] = 0
    dataset = dataclasses.replace(
        digits,
        class_names=digits.class_names[:classes],
        train_labels=digits.train_labels % classes,
        val_images=np.zeros((1000, 1, 8, 8), np.uint8),
        val_labels=labels,
        test_labels=digits.test_labels % classes,
    )
    expected = [
        f"The largest class has {said} of the validation images: an accuracy says little that does "
        "not exceed it; `--metric balanced_accuracy` or f1 weighs all classes alike."
    ]
    assert introduction(dataset) == (expected if said else [])


def test_training_images_that_are_nearly_black_are_said(digits):
    dark = dataclasses.replace(digits, mean=(0.001, 0.0123, 0.002))
    assert introduction(dark) == [
        "The training images are nearly black (mean 1.2 % of white): values of 12 bits in files of "
        "16? Scale them first."
    ]
    assert introduction(dataclasses.replace(digits, mean=(0.001, 0.03, 0.002))) == []


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
