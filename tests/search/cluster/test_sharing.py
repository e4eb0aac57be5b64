"""Large datasets on a real cluster of two nodes, all on this machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent

SHARE = """
import dataclasses, sys
from pathlib import Path
import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from search.cluster.connect import connected
from search.cluster.sharing import for_workers
from trainers import load_dataset
from trainers.images.cache import open_cache
from trainers.images.stored import StoredImages

root, store = Path(sys.argv[1]), int(sys.argv[2])
digits = load_dataset("digits")
parts = {name: getattr(digits, f"{name}_images") for name in ("train", "val", "test")}
images = np.concatenate(list(parts.values())).repeat(3, 1).repeat(16, 2).repeat(16, 3)
cache = open_cache(root, {"source": "made up"}, count=len(images), img_size=128)
file = cache.directory / "images.npy"
np.lib.format.open_memmap(file, "r+")[:] = images
np.lib.format.open_memmap(cache.directory / "state.npy", "r+")[:] = 1
ends = np.cumsum([0, *map(len, parts.values())])
data = dataclasses.replace(digits, **{
    f"{name}_images": StoredImages(file, np.arange(len(images))[start:end][::-1])
    for name, start, end in zip(parts, ends[:-1], ends[1:])
})

def seen(data):
    splits = (data.train_images, data.val_images, data.test_images)
    paths = [isinstance(split.stored, Path) for split in splits]
    return paths, [int(split[7].sum()) for split in splits]

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
node = cluster.add_node(num_cpus=1, object_store_memory=store)
with connected(cluster.address):
    expected = seen(data)[1]
    there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    ask = ray.remote(num_cpus=0)(seen).options(scheduling_strategy=there)
    for lost in (None, "a row", "the file"):
        if lost == "a row":
            np.lib.format.open_memmap(cache.directory / "state.npy", "r+")[3] = 0
        elif lost:
            file.unlink()
        try:
            paths, sums = ray.get(ask.remote(ray.put(for_workers(data, print))))
            print("paths" if all(paths) else "arrays", sums == expected)
        except ValueError as error:
            print(error)
cluster.shutdown()
"""


def share(folder, store):
    done = subprocess.run(
        [sys.executable, "-c", SHARE, folder, str(store)], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_node_without_the_decoded_images_gets_them_through_the_object_store(tmp_path):
    path, say, without_a_row, again, without_images = share(tmp_path, store=200 * 10**6)
    assert path == "paths True"
    assert "does not have the decoded images: their 0.1 GB travel to every node" in say
    assert say == again
    assert without_a_row == without_images == "arrays True"


@pytest.mark.slow
def test_a_node_with_neither_the_images_nor_room_for_them_is_named(tmp_path):
    path, without_a_row, without_images = share(tmp_path, store=80 * 10**6)
    assert path == "paths True"
    assert without_a_row == without_images
    assert re.search(
        r"^Every node must have the decoded images or room for them, but node [\d.]+ does not have "
        r".*/images.npy, and the object store of node [\d.]+ holds 80,000,000 bytes, where "
        r"120,\d+,\d+ are needed: set XDG_CACHE_HOME", without_images,
    )  # fmt: skip
