"""What can be built: architecture, search space, model, FLOPs.

Importing this package loads neither torch nor timm; the names that need them load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from space.architecture import Architecture
from space.features import architecture_features
from space.flat import Pool
from space.flops import count_flops, count_params
from space.named import NAMED, named
from space.parts import KINDS, Part, Shape
from space.pretrained import as_donor, space_of
from space.search_space import SearchSpace
from space.stage import Stage

if TYPE_CHECKING:
    from space.measure import measure_flops
    from space.model import VisionTransformer, build_model
    from space.modules.attention import attention_maps
    from space.modules.inherited import inherit, start_as_identity
    from space.modules.released import load_released_state_dict
    from space.modules.timm_vit import architecture_of

__all__ = [
    "KINDS",
    "NAMED",
    "Architecture",
    "Part",
    "Pool",
    "SearchSpace",
    "Shape",
    "Stage",
    "VisionTransformer",
    "architecture_features",
    "architecture_of",
    "as_donor",
    "attention_maps",
    "build_model",
    "count_flops",
    "count_params",
    "inherit",
    "load_released_state_dict",
    "measure_flops",
    "named",
    "space_of",
    "start_as_identity",
]

_LAZY = {
    "attention_maps": "space.modules.attention",
    "build_model": "space.model",
    "VisionTransformer": "space.model",
    "measure_flops": "space.measure",
    "architecture_of": "space.modules.timm_vit",
    "inherit": "space.modules.inherited",
    "start_as_identity": "space.modules.inherited",
    "load_released_state_dict": "space.modules.released",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
