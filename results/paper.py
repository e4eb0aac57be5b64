"""The frontier as tables for papers: LaTeX with booktabs, and Markdown."""

from __future__ import annotations

from collections.abc import Callable

from results.run import Run
from results.words import data_name, metric_name, percent, scaled, shape_text

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_MARKDOWN = r"\`*_{}[]<>|#~$"
_HEAD = ("Trial", "FLOPs", "Params", "Val.", "Test", "Architecture")
_LATEX_COLUMNS = "rrrrrp{0.45\\linewidth}"


def frontier_tex(run: Run, title: str | None = None) -> str:
    """A table environment for LaTeX with the package booktabs; it needs no other."""
    lines = [" & ".join(map(escape_latex, row)) + r" \\" for row in _rows(run)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{escape_latex(_caption(run, title))}}}",
            rf"\begin{{tabular}}{{{_LATEX_COLUMNS}}}",
            r"\toprule",
            " & ".join(_HEAD) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def frontier_md(run: Run, title: str | None = None) -> str:
    """A table in Markdown, numbers to the right, and what it is."""
    rows = [_HEAD, ("--:",) * 5 + (":--",)]
    told = [tuple(map(escape_markdown, row)) for row in _rows(run)]
    lines = ["| " + " | ".join(row) + " |" for row in [*rows, *told]]
    return "\n".join([escape_markdown(_caption(run, title)), "", *lines, ""])


def escape_latex(text: str) -> str:
    """The text as LaTeX prints it, in one line."""
    return _escaped(text, lambda letter: _LATEX.get(letter, letter))


def escape_markdown(text: str) -> str:
    """The text as Markdown shows it, in one line and in a cell of a table."""
    return _escaped(text, lambda letter: f"\\{letter}" if letter in _MARKDOWN else letter)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    return "".join(escape(letter) for letter in " ".join(text.split()) if letter.isprintable())


def _rows(run: Run) -> list[tuple[str, ...]]:
    return [
        (
            f"{record.trial}",
            scaled(record.flops),
            scaled(record.params),
            percent(record.accuracy),
            percent(record.test_accuracy),
            shape_text(record.architecture),
        )
        for record in run.front
    ]


def _caption(run: Run, title: str | None) -> str:
    data = run.settings["data"]
    metric = metric_name(run.metric)
    images = f" on {run.images} images" if run.images else ""
    seed = run.settings.get("seed")
    seeded = "" if seed is None else f", seed {seed}"
    named = title or f"Accuracy/FLOPs frontier of {data_name(data.get('name'))}"
    return (
        f"{named}: {run.trained} trainings within {scaled(run.budget_flops)}FLOPs "
        f"(multiply-accumulates of one image){seeded}; validation "
        f"{metric}{images} after one training each, by which they were chosen, and test {metric}."
    )
