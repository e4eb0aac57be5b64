"""One full training by several workers, each on its share of every batch: Ray Train starts them,
what they come to is sent to this process, which alone writes."""

from __future__ import annotations

import contextlib
import queue as queues
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cluster.connect import connected
from search.cluster.sharing import for_workers

if TYPE_CHECKING:
    from torch import Tensor

    from space import Architecture
    from trainers import Dataset
    from trainers.full_recipe import FullRecipe
    from trainers.teacher import Teacher

LOOK_SECONDS = 1.0  # at whether the workers still live


def refuse_unshared(
    architecture: Architecture, recipe: FullRecipe, dataset: Dataset, workers: int
) -> None:
    """Raises ValueError before Ray starts if `workers` on CPUs cannot train the network together,
    or a batch has no share for each."""
    import torch

    from space import build_model
    from trainers.device.workers import batch_of_all, synchronised

    batch_of_all(recipe.batch_size, len(dataset.train_labels), workers)
    if not torch.cuda.is_available():
        synchronised(build_model(architecture), torch.device("cpu"))


def epochs_of_workers(
    architecture: Architecture,
    dataset: Dataset,
    recipe: FullRecipe,
    *,
    workers: int,
    address: str | None,
    seed: int,
    state: Mapping[str, Tensor] | None,
    teacher: Teacher | None,
    say: Callable[[str], None],
) -> Iterator[tuple[dict[str, Any], Mapping[str, Tensor]]]:
    """What `trainers.train.run_training` gives, of `workers` workers of the cluster at `address`.

    Raises what they raise; RuntimeError where Ray loses one.
    """
    with connected(address, least_cpus=workers), tempfile.TemporaryDirectory() as scratch:
        import ray
        from ray.util.queue import Queue

        said: Any = Queue(actor_options={"num_cpus": 0})
        there = ray.cluster_resources().get("GPU", 0) >= workers
        config = {
            "architecture": architecture.to_dict(), "recipe": recipe.to_dict(), "seed": seed,
            "dataset": ray.put(for_workers(dataset, say)), "state": dict(state) if state else None,
            "teacher": ray.put(teacher), "said": said,
        }  # fmt: skip
        fit = _Fit(config, workers, gpus=there, scratch=Path(scratch))
        while True:
            with contextlib.suppress(queues.Empty):
                kind, value = said.get(timeout=LOOK_SECONDS)
                if kind == "error":
                    raise value
                yield value
                if "epoch" not in value[0]:
                    fit.join()
                    return
                continue
            if not fit.is_alive() and said.empty():
                raise RuntimeError(f"the workers ended before the training did: {fit.why}")


class _Fit(threading.Thread):
    """Ray Train's trainer, which waits for its workers; `why` it ended, where that was early."""

    def __init__(self, config: dict[str, Any], workers: int, *, gpus: bool, scratch: Path) -> None:
        super().__init__(daemon=True, name="ray-train")
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        self.why = "no reason is known"
        self._trainer = TorchTrainer(
            _work,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=RunConfig(name="train", storage_path=str(scratch)),
        )
        self.start()

    def run(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:  # Ray's, of several kinds
            self.why = str(error).strip().splitlines()[-1][:300]


def _work(config: dict[str, Any]) -> None:
    """The training of one worker; the first one tells."""
    import ray
    import torch.distributed as dist

    from space import Architecture
    from trainers.full_recipe import FullRecipe
    from trainers.train import run_training

    first, said = dist.get_rank() == 0, config["said"]
    try:
        for found in run_training(
            Architecture.from_dict(config["architecture"]),
            ray.get(config["dataset"]),
            FullRecipe.from_dict(config["recipe"]),
            seed=config["seed"],
            state=config["state"],
            teacher=ray.get(config["teacher"]),
        ):
            if first:
                said.put(("epoch", found))
    except Exception as error:
        if first:
            said.put(("error", error))
        raise
