"""The command that looks after decoded images: cache."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from search.commands import options as o
from search.commands.exits import console_of

if TYPE_CHECKING:
    from trainers.images.kept import KeptImages

Of = Annotated[
    str | None, Argument(metavar="DATA", help="Only those of this folder or name. [all]")
]
Clear = Annotated[bool, Option("--clear", help="Remove them; those in use stay.")]


def cache(data: Of = None, clear: Clear = False, as_json: o.Json = False) -> None:
    """List the decoded images and teachers' logits that are kept on this machine, or clear them."""
    from results.words import counted, scaled
    from trainers.images.cache import cache_root
    from trainers.images.kept import clear as remove
    from trainers.images.kept import kept_images, kept_logits

    console, root = console_of(as_json), cache_root()
    kept = [one for one in kept_images(root) if data is None or _is_of(one, data)]
    if not kept:
        of = "" if data is None else f" of {data}"
        console.print(f"No decoded images{of} are kept in {root}.", markup=False, soft_wrap=True)
    for one in kept:
        console.print(_line(one), markup=False, highlight=False, soft_wrap=True)
    logits = kept_logits(root) if data is None else []
    if logits:
        size = scaled(sum(file.stat().st_size for file in logits))
        text = f"Logits of teachers: {counted(len(logits), 'file')}, {size}B"
        console.print(f"{text}{', removed' if clear else ''}.", markup=False, highlight=False)
    for file in logits if clear else ():
        file.unlink(missing_ok=True)
    gone = remove(root, kept) if clear else []
    if clear and kept:
        left = len(kept) - len(gone)
        text = f"Removed {counted(len(gone), 'cache')}, {scaled(sum(g.on_disk for g in gone))}B"
        text += f"; {left} in use stay." if left else "."
        console.print(text, markup=False, highlight=False)
    elif kept:
        size = scaled(sum(one.on_disk for one in kept))
        text = f"{counted(len(kept), 'cache')} in {root}, {size}B; --clear removes them."
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        rows = [asdict(one) | {"directory": str(one.directory)} for one in kept]
        files = [str(file) for file in logits]
        told = {"root": str(root), "caches": rows, "removed": len(gone), "logits": files}
        print(json.dumps(told))


def _is_of(kept: KeptImages, data: str) -> bool:
    """Whether the images come from that name, or from that folder or one below it."""
    folder = os.path.join(os.path.abspath(data), "")
    named = f"{kept.source} ".startswith(f"{data} ")  # also of a name in a root
    return named or os.path.join(kept.source, "").startswith(folder)


def _line(kept: KeptImages) -> str:
    from results.words import duration, scaled
    from search.terminal.messages import printable

    what = f"{kept.decoded:,} of {kept.count:,} images at {kept.img_size} pixels"
    use = ", in use" if kept.in_use else ""
    return (
        f"{printable(kept.source)}: {what}, {scaled(kept.on_disk)}B, {duration(kept.age)} old{use}"
    )
