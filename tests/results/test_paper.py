"""results.paper: tables that LaTeX and Markdown read as they were meant."""

import dataclasses
import re

import pytest
from make_run import make_run

from results import load_run
from results.chart_data import ChartData
from results.charts import frontier_pdf, frontier_svg
from results.paper import escape_latex, escape_markdown, frontier_md, frontier_tex
from results.words import data_name, percent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run")))


def test_latex_escapes_each_letter_once():
    assert escape_latex("a_b & 5 % {x}\\~^#$") == (
        r"a\_b \& 5 \% \{x\}\textbackslash{}\textasciitilde{}\textasciicircum{}\#\$"
    )
    assert escape_latex("8×8 ± 1 –\n2") == r"8$\times$8 $\pm$ 1 -- 2"


def test_markdown_keeps_a_cell_a_cell():
    assert escape_markdown("a|b*c_<i>\n`d`") == r"a\|b\*c\_\<i\> \`d\`"


def test_the_latex_table_has_a_row_for_every_member_and_equal_columns(run):
    tex = frontier_tex(run, "50 % of R&D_x")
    assert r"\caption{50 \% of R\&D\_x: " in tex
    body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(run.front)
    for record, line in zip(run.front, body, strict=True):
        cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
        assert len(cells) == 6
        assert cells[0].strip() == str(record.trial)
        assert cells[3].strip() == percent(record.accuracy).replace("%", r"\%")
    assert tex.count("{") == tex.count("}")


def test_the_markdown_table_has_a_row_for_every_member(run):
    told, _, *lines = frontier_md(run).splitlines()
    assert told.startswith("Accuracy/FLOPs frontier of digits: ")
    assert len(lines) == 2 + len(run.front)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}


@pytest.mark.parametrize(
    ("name", "said"),
    [("/data/my cells/", "my cells"), ("torch/cifar10", "cifar10"), ("digits", "digits")],
)
def test_data_are_named_without_their_path(name, said):
    assert data_name(name) == said


def test_pictures_have_the_title_that_was_asked_for_or_the_name_of_the_data(run):
    data = dataclasses.replace(ChartData.of(run), dataset="/home/me/cells")
    assert ">cells: accuracy within 2 MFLOPs<" in frontier_svg(data)
    assert ">R&amp;D<" in frontier_svg(data, "R&D")
    assert frontier_pdf(data, "R&D").startswith(b"%PDF-")
