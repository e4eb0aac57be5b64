"""A cache of decoded images for tests: ten images of 4 x 4 pixels, row by row a shade of grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from trainers.images.cache import open_cache
from trainers.images.decoded import DecodedImages

CONTENTS = {"source": "a folder", "files": [["a.png", 1, 2]]}


def flat(row: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (row, row, row))


def opened(root: Path, count: int = 10, **changes: object) -> DecodedImages:
    return open_cache(root, CONTENTS | changes, count=count, img_size=4)


def rows(*indices: int) -> np.ndarray:
    return np.array(indices, np.int64)


def never(row: int) -> Image.Image:
    raise AssertionError(f"row {row} was decoded again")
