"""Tables of the terminal that fit it: the least of their columns go first, none is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table


def fitting_table(
    title: str,
    rows: Sequence[Mapping[str, str]],
    kept: Mapping[str, int],
    *,
    width: int,
    left: Sequence[str] = (),
) -> Table:
    """The cells of `rows` by column, at most `width` characters wide. `kept`: the columns in order,
    and how long each is kept; two always are, and one without a word never is. Those of `left`
    begin at the left."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    names = [name for name in kept if any(row[name] for row in rows)]
    needed = {n: 2 + max(len(n), *(len(row[n]) for row in rows)) for n in names}
    while sum(needed[name] for name in names) > width and len(names) > 2:
        names.remove(min(names, key=kept.__getitem__))
    for name in names:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table
