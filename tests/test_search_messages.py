"""What is said when nobody can hear it, and of names from outside."""

import os

import pytest
from rich.console import Console

from search.messages import LastingStream, interrupted_text, printable


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
