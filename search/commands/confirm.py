"""The command that trains again what a search announced: confirm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands import options as o
from search.commands.exits import INTERRUPTED, console_of

if TYPE_CHECKING:
    from search.plan import Plan


def confirm(
    run: o.RunFolder,
    top: o.Top = None,
    seeds: o.Seeds = None,
    epochs: o.ConfirmEpochs = None,
    controls: o.Controls = None,
    time_limit: o.ConfirmLimit = None,
    workers: o.OtherWorkers = None,
    address: o.AnotherAddress = None,
    as_json: o.Json = False,
) -> None:
    """Train what a search announced again, by several seeds, or go on with that."""
    asked = {name: value for name, value in locals().items() if name not in ("run", "as_json")}
    confirm_run(run, asked, as_json=as_json)


def confirm_run(
    run: Path, asked: dict[str, Any], *, as_json: bool, searched: Plan | None = None
) -> None:
    """Confirms a run and ends the process with its exit code; `searched`: the plan of the search
    that has just run it."""
    from search.confirming import plan_confirm, run_confirm
    from search.terminal.confirming import conclude_confirm, introduce_confirm
    from search.terminal.messages import interrupted_text

    console = console_of(as_json)
    dataset, train = (None, None) if searched is None else (searched.dataset, searched.train)
    plan = plan_confirm(run, asked, console, dataset=dataset, train=train)
    introduce_confirm(plan, console)
    try:
        found, interrupted = run_confirm(plan, console, is_process=True)
    except SystemExit:
        text = interrupted_text(run, "confirm")
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        raise
    conclude_confirm(found, console, interrupted=interrupted, as_json=as_json)
    if interrupted:
        sys.exit(INTERRUPTED)
    if found.confirmed is None or found.confirmed.best is None:
        sys.exit(1)
