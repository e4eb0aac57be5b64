"""The worker: one actor that trains one architecture after another and keeps data and device."""

from __future__ import annotations

import traceback
from functools import partial
from typing import Any

import numpy as np
from ray import tune

from search.cluster.checkpoint import KeptTraining, file_of
from search.cluster.own_training import OwnTraining
from space import Architecture

CUDA_CONTEXT_BYTES = 600 * 2**20  # of a process, outside of torch's allocator
WEIGHTS = "weights"  # the key under which a completed trial's weights travel, once


class ProxyTrainable(tune.Trainable):
    """One step is one epoch of `trainers.proxy_epochs`, on the CPU if Ray reserved no GPU. What
    fails inside a training is a result with `failed`: the actor lives on for the next trial."""

    _training: KeptTraining | OwnTraining | None = None

    def setup(
        self,
        config: dict[str, Any],
        dataset: Any = None,
        recipe: Any = None,
        threads: int = 1,
        gpus: float = 0.0,
        graphs: bool = False,
        train: Any = None,
        donor: Any = None,
        teacher: Any = None,
        metric: str = "accuracy",
        run: str | None = None,
    ) -> None:
        """`gpus`: what Ray reserves for this actor; a fraction is also the share of memory.
        `graphs`: replay steps from CUDA graphs. `train`: a training loop of one's own.
        `donor`: the pretrained network that the weights begin as. `teacher`: what is learnt from.
        `run`: a word for the run and its data, below which long trainings are kept."""
        import torch

        torch.set_num_threads(threads)
        self._dataset, self._recipe, self._gpus, self._graphs = dataset, recipe, gpus, graphs
        self._train, self._donor, self._teacher, self._metric = train, donor, teacher, metric
        self._run, self._threads = run, threads
        self._too_much: dict[int, int] = {}  # parts -> the least demand that had too little memory
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._end_training(over=True)  # Tune stopped it: who is interrupted gets no other trial
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        self._trial, self._parts, self._over = config, config.get("parts", 1), False

    def step(self) -> dict[str, Any]:
        from trainers import CaptureError, error_kind

        result: dict[str, Any] = {"trial": self._trial["trial"]}
        try:
            return result | self._train_one_epoch()
        except Exception as error:
            again = isinstance(error, CaptureError)
            self._end_training(over=not again)
            if again:
                raise  # Tune ends this process with the trial, `Recorder` has it asked again
            if "CUDA error" in str(error) and error_kind(error) != "out_of_memory":
                raise  # this process cannot use its GPU any more: Tune ends it with the trial
            if error_kind(error) == "out_of_memory" and (parts := self._more_parts()):
                self._parts = parts
                return result | {"started_anew": f"out of memory, now with {batches_in(parts)}"}
            return result | {
                "failed": error_kind(error),
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
                "done": True,
            }

    def _parts_for(self, architecture: Architecture) -> int:
        """In how many parts a batch goes through a network of that demand, by what was too much."""
        demand = memory_demand(architecture)
        return max(
            (2 * parts for parts, least in self._too_much.items() if demand >= least), default=1
        )

    def _more_parts(self) -> int | None:
        """The number of parts to try next, if there is one; the present one is remembered."""
        from trainers.recipe import more_parts

        if self._train is not None:
            return None if self._parts > 1 else 2
        parts = more_parts(
            self._parts, min(self._recipe.batch_size, len(self._dataset.train_labels))
        )
        if parts is not None:
            demand = memory_demand(Architecture.from_dict(self._trial["architecture"]))
            least = self._too_much.get(self._parts, demand)
            self._too_much[self._parts] = min(least, demand)
        return parts

    def _train_one_epoch(self) -> dict[str, Any]:
        if self._training is None:
            keep_to_share_of_gpu(self._gpus)
            architecture = Architecture.from_dict(self._trial["architecture"])
            self._parts = max(self._parts, self._parts_for(architecture))
            self._training = self._begin(architecture)
        result = next(self._training)
        if result["epoch"] < self._recipe.epochs:
            return result
        model = self._training.model
        weights = {} if model is None else {WEIGHTS: pack_weights(model.state_dict())}
        self._over = True  # kept until the driver has taken the result in
        return result | {"finished": True, "done": True, **weights}

    def _begin(self, architecture: Architecture) -> KeptTraining | OwnTraining:
        from trainers import proxy_epochs

        seed = self._trial["seed"]
        if self._train is not None:
            return OwnTraining(self._train, architecture, self._dataset, self._recipe, seed=seed)
        begin = partial(
            proxy_epochs,
            architecture,
            self._dataset,
            self._recipe,
            seed=seed,
            device=None if self._gpus else "cpu",
            parts=self._parts,
            graphs=self._graphs and not self._trial.get("eager", False),
            donor=self._donor,
            teacher=self._teacher,
            metric=self._metric,
        )
        if self._run is None:
            return KeptTraining(begin, None)
        return KeptTraining(begin, file_of(
            self._run,
            architecture=architecture.to_dict(), recipe=self._recipe.to_dict(), seed=seed,
            parts=self._parts, metric=self._metric, threads=self._threads, gpu=bool(self._gpus),
        ))  # fmt: skip

    def _end_training(self, *, over: bool = False) -> None:
        """`over`: nobody will go on with it."""
        if isinstance(self._training, OwnTraining):
            self._training.close()
        elif over and self._training is not None:
            self._training.forget()
        self._training = None

    def cleanup(self) -> None:
        self._end_training(over=self._over)


def memory_demand(architecture: Architecture) -> int:
    """What a training's memory grows with: numbers of tokens and of attention maps, over all
    blocks."""
    return sum(
        place.stage.depth
        * place.shape.length
        * (place.shape.dim + place.shape.length * getattr(place.stage.attention, "num_heads", 1))
        for place in architecture.walk()
    )


def batches_in(parts: int) -> str:
    """The words for batches in so many parts."""
    return "half batches" if parts == 2 else f"batches in {parts} parts"


def keep_to_share_of_gpu(gpus: float) -> None:
    """Has this process take no more GPU memory than its share, if it has less than a whole GPU.
    Raises RuntimeError if Ray reserved a GPU that torch does not see."""
    import torch

    if gpus and not torch.cuda.is_available():
        raise RuntimeError(
            f"Ray reserved {gpus:g} GPUs for this worker, but torch sees none on its machine: "
            "install a torch build for the machine's CUDA driver, or give --gpus-per-trial 0 to "
            "train on the CPU"
        )
    if 0 < gpus < 1:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_fraction(gpus, total))


def memory_fraction(gpus: float, total: int) -> float:
    """The fraction of a GPU of `total` bytes that torch may allocate in a process which has `gpus`
    of it: its share less what CUDA takes a process, at least half of it."""
    return max(gpus - CUDA_CONTEXT_BYTES / total, gpus / 2)


def pack_weights(state_dict: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The tensors as the bytes of a safetensors file, in an array that Ray shares uncopied."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    return np.frombuffer(save(tensors), dtype=np.uint8)


class TestSplitReader:
    """An actor that reads the test split; started early, so that its imports delay nobody."""

    def __init__(self, gpus: float) -> None:
        import torch

        import space.model  # noqa: F401

        keep_to_share_of_gpu(gpus)
        self._device = "cuda" if gpus and torch.cuda.is_available() else "cpu"

    def is_there(self) -> bool:
        """Answers once the actor has started."""
        return True

    def accuracies(
        self,
        members: list[tuple[int, dict[str, Any], bytes]],
        images: Any,
        labels: Any,
        **shape: Any,
    ) -> dict[int, float | str]:
        """Accuracy of (trial, architecture, safetensors bytes), by trial, or why the weights are
        not that trial's; `shape`: mean, std and the metric."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from space import build_model
        from trainers import evaluate

        found: dict[int, float | str] = {}
        for number, architecture, weights in members:
            model = build_model(Architecture.from_dict(architecture)).to(self._device)
            try:
                model.load_state_dict(load(weights))
            except (SafetensorError, RuntimeError) as error:
                found[number] = " ".join(str(error).split())[:200]
                continue
            size = model.architecture.img_size
            found[number] = evaluate(model, images, labels, img_size=size, **shape)[1]
        return found
