"""A set of ImageNet's size at 64 pixels: opening it, reading batches from it, decoding into it.

    python benchmarks/large_data.py [--images 1281167] [--filled 65536] [--folder FOLDER]

The decoded cache (16 GB) is a sparse file of which `--filled` images are really written and timed
(all of them if that is as many). Batches of 512 in random order: from disk (their pages dropped
from the page cache), from the page cache, and from an array in memory, by turns. Decoding: JPEG
files of 500 x 375, per second of processor time; a decoding that is killed and goes on. Prints a
table and one line of JSON, and removes what it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image

from space import Architecture
from trainers import Dataset, Recipe, proxy_epochs
from trainers.device.split import device_images
from trainers.device.streaming import open_split
from trainers.images.cache import open_cache
from trainers.images.decoded import DecodedImages
from trainers.images.stored import StoredImages

BATCH, SIDE, JPEGS, REPEATS = 512, 64, 1024, 3
SHAPE = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "img_size": SIDE, "device": torch.device("cpu")}

OPEN = """
import resource, sys, time
import numpy as np
from pathlib import Path
from trainers.images.decoded import DecodedImages
cache = DecodedImages(directory=Path(sys.argv[1]), count=int(sys.argv[2]), img_size=64)
rows = np.random.default_rng(0).permutation(cache.count)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before, started = resident(), time.perf_counter()
images = cache.images(rows)
images[:1]
print(time.perf_counter() - started, resident() - before)
"""
DECODE = """
import os, sys
import numpy as np
from pathlib import Path
from trainers.images.cache import open_cache
folder, files = Path(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir())
log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def source(row):
    os.write(log, b"%d\\n" % row)
    return files[row]
cache = open_cache(folder, {"source": "killed"}, count=len(files), img_size=64)
cache.decode(np.arange(len(files)), source)
"""


def synthetic_cache(folder: Path, images: int, filled: int) -> DecodedImages:
    """A cache of which the first `filled` images are random bytes and the others are holes."""
    cache = open_cache(folder, {"source": "synthetic"}, count=images, img_size=SIDE)
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, 1024 * cache.image_bytes, dtype=np.uint8).tobytes()
    with (cache.directory / "images.npy").open("r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for first in range(0, filled, 1024):
            file.write(block[: min(1024, filled - first) * cache.image_bytes])
        os.fsync(file.fileno())
    np.lib.format.open_memmap(cache.directory / "state.npy", "r+")[:] = 1
    return cache


def forget_pages(file: Path) -> None:
    """Drops the file from the page cache, so that the next read is from the disk."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(read: Callable[[np.ndarray], None], order: np.ndarray) -> float:
    started = time.perf_counter()
    read(order)
    return len(order) / (time.perf_counter() - started)


def reading(cache: DecodedImages, filled: int) -> dict[str, float]:
    """Images a second, the best of some repeats by turns."""
    file, labels = cache.directory / "images.npy", np.zeros(filled, np.int64)
    array = StoredImages(file, np.arange(filled))[:]
    out, rng = np.empty((BATCH, *array.shape[1:]), np.uint8), np.random.default_rng(1)

    def opened() -> StoredImages:
        return StoredImages(file, np.arange(filled))  # anew: pages in use are not dropped

    def gather(take: Callable[[np.ndarray, np.ndarray], object], order: np.ndarray) -> None:
        for rows in order.reshape(-1, BATCH):
            take(rows, out)

    def bring(split: object, order: np.ndarray) -> None:
        window = split.window(BATCH)
        for rows in split.bring(torch.from_numpy(order).view(-1, BATCH), window):
            window.pixels[rows]

    def from_array(rows: np.ndarray, out: np.ndarray) -> None:
        np.take(array, rows, 0, out, "clip")

    ways = {
        "array in memory": lambda: partial(gather, from_array),
        "map, page cache": lambda: partial(gather, opened().read),
        "map, from disk": lambda: partial(gather, opened().read),
        "resident split": lambda: partial(bring, device_images(array, labels, **SHAPE)),
        "streamed split, page cache": lambda: partial(bring, open_split(opened(), labels, **SHAPE)),
        "streamed split, from disk": lambda: partial(bring, open_split(opened(), labels, **SHAPE)),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(REPEATS):
        for name, prepare in ways.items():
            read, order = prepare(), rng.permutation(filled)[: min(filled, 24 * BATCH)]
            order = order[: len(order) // BATCH * BATCH]
            if name.endswith("from disk"):
                forget_pages(file)
            else:
                read(order)
            best[name] = max(best[name], rate(read, order))
            del read
    return best


def training(cache: DecodedImages) -> dict[str, float]:
    """Images a second of a core in a small network's training, some epochs by turns."""
    network = Architecture(
        img_size=SIDE, patch_size=16, num_classes=10, embed_dim=64, depth=2, num_heads=2
    )
    stored = StoredImages(cache.directory / "images.npy", np.arange(4096))
    labels, spent = np.arange(4096) % 10, {"in memory": 0.0, "streamed": 0.0}
    runs = {}
    for name, images in (("in memory", stored[:]), ("streamed", stored)):
        data = Dataset(
            name=name, train_images=images, train_labels=labels, val_images=stored[:BATCH],
            val_labels=labels[:BATCH], test_images=stored[:BATCH], test_labels=labels[:BATCH],
            class_names=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3,
            augmentation="crop_flip",
        )  # fmt: skip
        recipe = Recipe(epochs=REPEATS, batch_size=BATCH)
        runs[name] = proxy_epochs(network, data, recipe, seed=0, device="cpu")
    for _ in range(REPEATS):
        for name, run in runs.items():
            started = time.process_time()
            next(run)
            spent[name] += time.process_time() - started
    return {name: REPEATS * len(labels) / seconds for name, seconds in spent.items()}


def make_jpegs(folder: Path) -> None:
    """Files of 500 x 375, about 80 kB each: smooth colours with noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(16):
        colours = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((500, 375), Image.Resampling.BICUBIC)).astype(float)
        noisy = (smooth + rng.normal(0, 8, (375, 500, 1))).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:05}.jpg", quality=90)
    for i in range(16, JPEGS):
        (folder / f"{i:05}.jpg").write_bytes((folder / f"{i % 16:05}.jpg").read_bytes())


def decoding(folder: Path, jpegs: Path) -> dict[str, float]:
    files = sorted(jpegs.iterdir())
    cache = open_cache(folder, {"source": "jpegs"}, count=len(files), img_size=SIDE)
    spent, started = time.process_time(), time.perf_counter()
    cache.decode(np.arange(len(files)), files.__getitem__)
    spent, waited = time.process_time() - spent, time.perf_counter() - started
    size = sum(file.stat().st_size for file in files) / len(files)
    return {
        "images_per_core_second": len(files) / spent,
        "images_per_second": len(files) / waited,
        "mean_bytes": size,
    }


def killed(folder: Path, jpegs: Path) -> dict[str, int]:
    """A decoding ended by SIGKILL when half is begun, and gone on with."""
    log, root = folder / "asked", str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-c", DECODE, str(folder), str(jpegs), str(log)]
    process = subprocess.Popen(command, cwd=root)
    while process.poll() is None and (
        not log.exists() or len(log.read_text().split()) < JPEGS // 2
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = open_cache(folder, {"source": "killed"}, count=JPEGS, img_size=SIDE)
    kept = set(np.flatnonzero(np.load(cache.directory / "state.npy")).tolist())
    first = len(log.read_text().split())
    subprocess.run(command, cwd=root, check=True)
    again = {int(row) for row in log.read_text().split()[first:]}
    return {
        "begun_before_the_kill": first,
        "kept": len(kept),
        "kept_but_decoded_again": len(kept & again),
        "missing_at_the_end": cache.missing(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--filled", type=int, default=65_536)
    parser.add_argument("--folder", type=Path, help="where to write; the default is temporary")
    arguments = parser.parse_args()
    images, filled = arguments.images, min(arguments.filled, arguments.images)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        cache = synthetic_cache(folder, images, filled)
        root = Path(__file__).resolve().parent.parent
        opened = subprocess.run(
            [sys.executable, "-c", OPEN, str(cache.directory), str(images)],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds, resident = map(float, opened.stdout.split())
        rates, trained = reading(cache, filled), training(cache)
        make_jpegs(folder / "jpegs")
        decoded, resumed = decoding(folder, folder / "jpegs"), killed(folder, folder / "jpegs")
    print(
        f"{images:,} images of {SIDE} pixels, {images * cache.image_bytes / 1e9:.1f} GB, opened in"
    )
    print(
        f"  {seconds * 1e3:.1f} ms, {resident / 1e6:.1f} MB more resident (without the row numbers)"
    )
    for way, value in rates.items():
        against = rates["resident split" if "split" in way else "array in memory"]
        print(f"{way:28} {value:12,.0f} images/s {value / against:6.2f}")
    for way, value in trained.items():
        against = trained["in memory"]
        print(f"training, {way:18} {value:12,.0f} images/s of a core {value / against:6.2f}")
    print(f"decoding: {decoded['images_per_core_second']:,.0f} images per second of a core")
    print(", ".join(f"{key} {value}" for key, value in resumed.items()).replace("_", " "))
    print(
        json.dumps(
            {
                "benchmark": "large_data", "images": images, "filled": filled, "batch": BATCH,
                "open_seconds": seconds, "open_resident_bytes": resident,
                "images_per_second": rates,
                "training_per_core_second": trained, "decoding": decoded, "killed": resumed,
                "load": os.getloadavg()[0], "cpus": os.cpu_count(),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
