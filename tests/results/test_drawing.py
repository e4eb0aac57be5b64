"""results.drawing: every block, its kind and its tokens can be read off the drawing."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_run import plain

from results.drawing import block_drawing
from space import NAMED, Pool
from space.parts import KINDS, Mark


def elements(architecture, kind):
    root = ElementTree.fromstring(str(block_drawing(architecture)))
    return [element for element in root.iter() if element.get("class") == kind]


def numbers(architecture, kind):
    return [element.text for element in elements(architecture, kind)]


def test_blocks_of_each_kind_are_drawn_and_reattention_is_marked_in_letters_too():
    a = plain(5, 32).replace(reattention=(2, 4))
    assert len(elements(a, "plain")) == 3
    assert len(elements(a, "mixed")) == 2
    assert numbers(a, "r") == ["R", "R"]


def test_token_counts_stand_where_they_change_and_before_the_head():
    a = plain(4, 32).replace(pools=(Pool(after=0), Pool(after=3)))
    assert len(elements(a, "pool")) == 2
    assert numbers(a, "count") == ["16", "7", "3"]


def test_bars_are_as_tall_as_their_share_of_tokens():
    a = plain(2, 32, img_size=32).replace(pools=(Pool(after=0, kernel_size=2),))
    first, second = (float(bar.get("height")) for bar in elements(a, "plain"))
    assert second / first == pytest.approx(a.token_counts[1] / a.token_counts[0], abs=0.01)


@given(st.sampled_from(sorted(NAMED)))
def test_every_named_architecture_is_drawn_whole_and_inside_its_frame(name):
    a = NAMED[name]
    root = ElementTree.fromstring(str(block_drawing(a)))
    others = elements(a, "part")
    bars = elements(a, "plain") + elements(a, "mixed")
    bars += [element for element in others if element.tag.endswith("rect")]
    assert len(bars) == a.depth
    assert len(elements(a, "mixed")) == len(a.blocks_of("reattention"))
    pools = [part for _, part, _ in a.after_blocks() if part.kind == "pool"]
    assert len(elements(a, "pool")) == len(pools)
    wedges = [element for element in others if not element.tag.endswith("rect")]
    assert len(wedges) == len(list(a.after_blocks())) - len(pools)
    width = float(root.get("width"))
    edges = sorted((float(bar.get("x")), float(bar.get("width"))) for bar in bars)
    assert all(left + wide < right for (left, wide), (right, _) in pairwise(edges))
    assert edges[0][0] > 0
    assert sum(edges[-1]) < width
    assert root.get("aria-label")


def test_every_kind_that_is_drawn_has_a_letter_and_colours_of_its_own():
    drawn = [kind.mark for kind in KINDS.values() if kind.mark != Mark()]
    letters = [mark.letter for mark in drawn if mark.letter]
    colours = [(mark.colour, mark.dark) for mark in drawn]
    assert len(drawn) > 15
    assert len(set(letters)) == len(letters)
    assert len(set(colours)) == len(colours)
