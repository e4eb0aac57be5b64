"""results.words: numbers and architectures as people read them."""

import math

import pytest
from make_run import plain

from results import words
from space import Pool, named
from space.parts import KINDS, Mark


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 F"),
        (7, "7 F"),
        (999, "999 F"),
        (999.6, "1 kF"),
        (1000, "1 kF"),
        (12_345, "12.3 kF"),
        (999_600, "1 MF"),
        (1_253_683_200, "1.25 GF"),
        (17_563_828_224, "17.6 GF"),
        (2e12, "2 TF"),
    ],
)
def test_scaled_has_three_digits_and_a_prefix(count, text):
    assert words.scaled(count, "F") == text


def test_counts_are_printed_with_units():
    assert [words.format_count(c) for c in (999, 33_952, 2_000_000, 1_253_683_200)] == [
        "999", "33.95K", "2M", "1.254G",
    ]  # fmt: skip


def test_scaled_without_a_unit_ends_in_its_prefix():
    assert words.scaled(2_000_000) == "2 M"
    assert words.scaled(5) == "5"


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_missing_numbers_are_a_dash(missing):
    assert words.percent(missing) == words.duration(missing) == "–"


def test_percent_and_duration_read_as_people_write_them():
    assert words.percent(0.9621) == "96.2 %"
    assert words.duration(59.94) == "59.9 s"
    assert words.duration(245.2) == "4 min 05 s"
    assert words.duration(3 * 3600 + 7 * 60) == "3 h 07 min"


def test_standard_error_is_that_of_a_binomial_share():
    assert words.standard_error(0.9, 100) == pytest.approx(0.03)
    assert words.standard_error(1.0, 100) == 0.0


def test_index_ranges_join_neighbours():
    assert words.index_ranges(()) == "–"
    assert words.index_ranges((0, 3, 4, 5, 9)) == "0, 3–5, 9"


def test_architecture_is_told_block_by_block():
    a = plain(6, 32).replace(reattention=(3, 4, 5), pools=(Pool(after=2), Pool(after=5, op="avg")))
    assert words.shape_text(a) == "6 blocks, 32 wide, 2 heads, MLP ×4, patch 2"
    assert words.blocks_text(a) == (
        "3 plain on 16 tokens, pool, 3 Re-attention on 7 tokens, pool, avg head"
    )
    assert words.pools_text(a) == "2 max 3/2; 5 avg 3/2"


def test_what_is_unusual_is_told():
    a = plain(1, 16).replace(
        stem="conv", reattention=(0,), reattention_scale=True, residual_scale=0.5
    )
    assert words.shape_text(a) == (
        "1 block, 16 wide, 1 head, MLP ×4, patch 2, conv stem, scaled Re-attention, "
        "residual scale 0.5"
    )


def test_the_key_says_of_a_mark_what_its_kind_says(monkeypatch):
    told = [said for _, said, _ in words.marks([named("hvt_s_1"), named("deepvit_s")])]
    assert told == ["plain block", "tokens pooled", "Re-attention block, marked R"]
    monkeypatch.setattr(KINDS["reattention"], "mark", Mark("X", words="mixed heads"))
    monkeypatch.setattr(KINDS["plain"], "mark", Mark("", "#000"))
    told = [said for _, said, _ in words.marks([named("hvt_s_1"), named("deepvit_s")])]
    assert told == ["plain", "tokens pooled", "mixed heads, marked X"]
