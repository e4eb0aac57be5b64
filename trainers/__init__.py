"""How a model is scored: data, augmentation and proxy training, without Ray and Optuna.

Importing this package loads neither torch nor Pillow; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainers.errors import CaptureError, DataError, NonFiniteLossError, error_kind

if TYPE_CHECKING:
    from trainers.full_recipe import FullRecipe
    from trainers.images.dataset import Dataset
    from trainers.images.load import load_dataset
    from trainers.init import Donor, read_donor
    from trainers.proxy import ProxyTraining, TrialOutcome, proxy_epochs, train_proxy
    from trainers.recipe import Recipe
    from trainers.scoring import evaluate
    from trainers.train import FullTraining

__all__ = [
    "CaptureError",
    "DataError",
    "Dataset",
    "Donor",
    "FullRecipe",
    "FullTraining",
    "NonFiniteLossError",
    "ProxyTraining",
    "Recipe",
    "TrialOutcome",
    "error_kind",
    "evaluate",
    "load_dataset",
    "proxy_epochs",
    "read_donor",
    "train_proxy",
]

_LAZY = {
    "Dataset": "trainers.images.dataset",
    "FullRecipe": "trainers.full_recipe",
    "FullTraining": "trainers.train",
    "load_dataset": "trainers.images.load",
    "Recipe": "trainers.recipe",
    "Donor": "trainers.init",
    "read_donor": "trainers.init",
    "ProxyTraining": "trainers.proxy",
    "TrialOutcome": "trainers.proxy",
    "evaluate": "trainers.scoring",
    "proxy_epochs": "trainers.proxy",
    "train_proxy": "trainers.proxy",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
