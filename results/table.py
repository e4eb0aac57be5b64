"""Trials as a table: trials.csv for spreadsheets, a DataFrame of the same columns for Python."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from results.record import TrialRecord
from space import Architecture
from space.flat import flat_dict, short_dict

if TYPE_CHECKING:
    import pandas

    from results.run import Run


def trials_csv(records: Iterable[TrialRecord], front: Iterable[TrialRecord]) -> str:
    """One line a record, UTF-8; texts that a spreadsheet would run as a formula are quoted by '."""
    members = {record.trial for record in front}
    text = io.StringIO(newline="")
    rows = [_row(record, on_front=record.trial in members) for record in records]
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


_COLUMNS = (
    "trial state on_front flops params accuracy test_accuracy epochs seconds seed baseline "
    "img_size patch_size in_chans num_classes embed_dim depth num_heads mlp_ratio reattention "
    "pools head stem reattention_scale residual_scale tokens accuracy_per_epoch started worker "
    "error_kind error architecture top1"
).split()


def frame(run: Run) -> pandas.DataFrame:
    """`Run.to_frame`: one row a trial, in the order of trials."""
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "`Run.to_frame` needs pandas: install it by `pip install pandas`."
        ) from None

    members = {record.trial for record in run.front}
    rows = [_values(record, on_front=record.trial in members) for record in run.records]
    table = pandas.DataFrame(rows, columns=list(_COLUMNS))
    kinds = {name: kind for kind, names in _KINDS.items() for name in names.split()}
    missing = {n: "Int64" for n, kind in kinds.items() if kind == "int64" and table[n].hasnans}
    return table.astype(kinds | missing)


_KINDS = {
    "int64": "trial flops params epochs seed img_size patch_size in_chans num_classes embed_dim "
    "depth num_heads",
    "float64": "accuracy test_accuracy top1 seconds started mlp_ratio residual_scale",
    "bool": "on_front reattention_scale",
}


def _values(record: TrialRecord, *, on_front: bool) -> dict[str, Any]:
    a = record.architecture
    own = {name: getattr(record, name) for name in _COLUMNS if hasattr(record, name)}
    flat = flat_dict(a) or _sizes(a)
    shape = {name: value for name, value in flat.items() if name in _COLUMNS}
    after = ((block, part.words().replace(" ", ":")) for block, part, _ in a.after_blocks())
    return {
        **shape,
        **own,
        "on_front": on_front,
        "reattention": a.blocks_of("reattention"),
        "pools": tuple(f"{block}:{words}" for block, words in after),
        "tokens": a.token_counts,
        "accuracy_per_epoch": tuple(epoch.accuracy for epoch in record.curve),
        "architecture": a,
    }


def _sizes(a: Architecture) -> dict[str, Any]:
    """What the columns say of a network that is no column of equal blocks: the rest is empty."""
    sizes = {name: getattr(a, name) for name in ("img_size", "in_chans", "num_classes", "head")}
    mixing = any(getattr(place.stage.attention, "scale", False) for place in a.walk())
    depth = {"embed_dim": a.embed_dim, "depth": a.depth}
    return sizes | depth | {"stem": a.stem.kind, "reattention_scale": mixing}


def _row(record: TrialRecord, *, on_front: bool) -> dict[str, Any]:
    """The values as texts and numbers of one cell each."""
    values, a = _values(record, on_front=on_front), record.architecture
    return {
        **values,
        "on_front": str(on_front).lower(),
        "reattention": " ".join(map(str, values["reattention"])),
        "pools": " ".join(values["pools"]),
        "reattention_scale": str(values["reattention_scale"]).lower(),
        "tokens": " ".join(map(str, values["tokens"])),
        "accuracy_per_epoch": " ".join(f"{value:.6g}" for value in values["accuracy_per_epoch"]),
        "architecture": json.dumps(short_dict(a), separators=(",", ":")),
    }


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare \r would end the line
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\n")) else value
