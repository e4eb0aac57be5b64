"""What a search may choose from: `SearchSpace`, read from TOML, built in, or made in Python.

Genes are the plain values a sampler picks, one a name; every assignment decodes to a network of the
space, and every network encodes to one canonical assignment. No sampler and no torch here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from space.architecture import (
    LIMITS,
    Architecture,
    Head,
    Pool,
    PoolOp,
    Stem,
    check_keys,
    did_you_mean,
    show,
)
from space.choices import (
    PLAIN_FIELDS,
    PLAIN_GENES,
    REQUIRED,
    TABLES,
    check_range,
    checked_choices,
    read_toml,
)
from space.flops import count_flops

Params = dict[str, Any]
_BUILT_IN = Path(__file__).parent / "spaces"
MAX_NAME = 200
MAX_SHAPES = 4096
SHAPE_FIELDS = tuple(
    """img_size patch_size stem head pool_stages pool_kernel_size pool_stride pool_op""".split()
)
BUILT_IN_SPACES = ("digits", "cifar", "hvt_deit_tiny", "hvt_deit_small", "deepvit")


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties
class SearchSpace:
    """The networks of all combinations of these choices; those that cannot be built are left out.

    Give either `head_dim` or `num_heads`. `reattention`: where mixing blocks may be: `none`, `all`,
    `suffix` (the last k blocks), `free` (any subset). `pool_stages`: how many pools;
    `pool_after`: the blocks that may be pooled, `None` for any; kernel, stride and operation are
    one for all pools of a network. Raises ValueError on a choice that no network can use.
    """

    img_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    embed_dim: tuple[int, ...]
    depth: tuple[int, ...]
    in_chans: int = 3
    num_classes: int = 1000
    head_dim: tuple[int, ...] | None = None
    num_heads: tuple[int, ...] | None = None
    mlp_ratio: tuple[float, ...] = (4.0,)
    head: tuple[Head, ...] = ("avg",)
    stem: tuple[Stem, ...] = ("patch",)
    residual_scale: tuple[float, ...] = (1.0,)
    reattention: tuple[str, ...] = ("none",)
    reattention_scale: tuple[bool, ...] = (False,)
    pool_stages: tuple[int, ...] = (0,)
    pool_after: tuple[int, ...] | None = None
    pool_kernel_size: tuple[int, ...] = (3,)
    pool_stride: tuple[int, ...] = (2,)
    pool_op: tuple[PoolOp, ...] = ("max",)
    name: str = "custom"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            choices = getattr(self, field.name)
            is_off = choices is None and field.name in ("head_dim", "num_heads", "pool_after")
            if not is_off and field.name not in ("name", "in_chans", "num_classes"):
                object.__setattr__(self, field.name, checked_choices(field.name, choices))
        if not isinstance(self.name, str) or len(self.name) > MAX_NAME:
            raise ValueError(
                f"`name` must be a text of at most {MAX_NAME} characters, but got "
                f"{show(self.name)}."
            )
        self._check_shapes()
        for name in ("in_chans", "num_classes"):
            check_range(name, getattr(self, name), 1, LIMITS[name])
        if (self.head_dim is None) == (self.num_heads is None):
            raise ValueError("A search space needs one of `head_dim` and `num_heads`, not both.")
        for dim in self.embed_dim:
            for name, heads in (("head_dim", self.head_dim), ("num_heads", self.num_heads)):
                bad = next((value for value in heads or () if dim % value), None)
                if bad is not None:
                    raise ValueError(
                        f"Every `embed_dim` must be divisible by every `{name}`, but {dim} is not "
                        f"divisible by {bad}: remove one of them."
                    )
        self._check_grids()
        self._check_pools()

    def _check_shapes(self) -> None:
        """Every combination of these is looked at, so they are limited before that is begun."""
        count = math.prod(len(getattr(self, field)) for field in SHAPE_FIELDS)
        if count > MAX_SHAPES:
            raise ValueError(
                f"`img_size`, `patch_size`, `stem`, `head` and the choices of [pooling] must have "
                f"at most {MAX_SHAPES} combinations, but have {count}: give fewer choices."
            )

    def _check_grids(self) -> None:
        for patch in self.patch_size:
            if not any(p == patch for _, p, _ in self._grids):
                raise ValueError(
                    f"`img_size` must be divisible by `patch_size`, but none of "
                    f"{list(self.img_size)} is divisible by {patch}"
                    + (" with an even patch for stem 'conv'" if self.stem == ("conv",) else "")
                    + ": remove it."
                )
        for img in self.img_size:
            if not any(i == img for i, _, _ in self._grids):
                patch = max(self.patch_size)
                raise ValueError(
                    f"`img_size` (={img}) must be divisible by a `patch_size` of the space, one of "
                    f"{list(self.patch_size)}: choose img_size "
                    f"{max(round(img / patch), 1) * patch} or add a patch size."
                )
        for img, patch, stem in self._grids:
            for head in self.head:
                _smallest_network(self, img, patch, stem, head)  # raises on impossible numbers

    def _check_pools(self) -> None:
        fewest, most = min(self.pool_stages), max(self.pool_stages)
        positions = {depth: len(self._pool_positions[depth]) for depth in self.depth}
        for depth, count in positions.items():
            if count < fewest:
                raise ValueError(
                    f"`pooling.stages` asks for at least {fewest} pools, but {depth} blocks have "
                    f"{count} places for one: add 0 to the stages or remove depth {depth}."
                )
        if most > max(positions.values()):
            raise ValueError(
                f"`pooling.stages` (={most}) must be at most the {max(positions.values())} places "
                "for a pool in the deepest network."
            )
        reach = {
            (kernel, stride, img, patch): _possible_stages(
                (img // patch) ** 2, kernel, stride, most
            )
            for kernel, stride in itertools.product(self.pool_kernel_size, self.pool_stride)
            for img, patch, _ in self._grids
        }
        unusable = [
            shape
            for shape, stages in reach.items()
            if stages < fewest or self._is_useless(shape, reach)
        ]
        if most and unusable:
            kernel, stride, img, patch = unusable[0]
            raise ValueError(
                f"A pool must leave at least 1 and fewer tokens than enter it, but "
                f"kernel_size={kernel}, stride={stride} allow {reach[unusable[0]]} pools on the "
                f"{(img // patch) ** 2} tokens of img_size={img}, patch_size={patch}: use a "
                "smaller kernel_size or patch_size, or fewer stages."
            )
        if self._most_stages < most:
            raise ValueError(
                f"`pooling.stages` (={most}) must leave at least 1 token, but {self._most_stages} "
                "pools is the most that any patch_size and kernel_size allow: lower it."
            )

    def _is_useless(
        self, shape: tuple[int, int, int, int], reach: dict[tuple[int, int, int, int], int]
    ) -> bool:
        """Whether the shape's kernel size, or its stride, allows no pool anywhere."""
        return any(
            not any(stages for other, stages in reach.items() if other[i] == shape[i])
            for i in (0, 1)
        )

    @cached_property
    def _most_stages(self) -> int:
        shapes = itertools.product(self._grids, self.pool_kernel_size, self.pool_stride)
        most = max(self.pool_stages)
        return max(_possible_stages((g[0] // g[1]) ** 2, k, s, most) for g, k, s in shapes)

    @cached_property
    def _grids(self) -> tuple[tuple[int, int, Stem], ...]:
        """(img_size, patch_size, stem) that go together."""
        return tuple(
            (img, patch, stem)
            for img, patch, stem in itertools.product(self.img_size, self.patch_size, self.stem)
            if img % patch == 0 and (stem == "patch" or patch % 2 == 0)
        )

    @cached_property
    def _pool_positions(self) -> dict[int, tuple[int, ...]]:
        """Blocks that may be pooled, for each depth."""
        return {
            depth: tuple(range(depth))
            if self.pool_after is None
            else tuple(block for block in self.pool_after if block < depth)
            for depth in self.depth
        }

    @cached_property
    def _pool_slots(self) -> int:
        return max(len(positions) for positions in self._pool_positions.values())

    # ---- reading and writing -------------------------------------------------------------------

    @classmethod
    def load(cls, name_or_file: str | Path) -> SearchSpace:
        """A built-in space by name, or a TOML file. Raises ValueError naming file, rule and fix."""
        text = str(name_or_file)
        if text in BUILT_IN_SPACES:
            return cls.from_toml(_BUILT_IN / f"{text}.toml")
        if not text.endswith(".toml") and not Path(text).is_file():
            raise ValueError(
                f"Unknown search space {show(text)}{did_you_mean(text, BUILT_IN_SPACES)} "
                "Or give a .toml file."
            )
        return cls.from_toml(Path(text))

    @classmethod
    def from_toml(cls, path: str | Path) -> SearchSpace:
        """The space of a TOML file of at most 1 MB, under the file's name."""
        try:
            return cls.from_dict({"name": Path(path).stem, **read_toml(path)})
        except ValueError as error:
            raise ValueError(f"Search space {path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSpace:
        """The space of the tables of a TOML file; `to_dict` gives them back."""
        check_keys("search space", values, [*PLAIN_FIELDS, *TABLES], REQUIRED)
        flat = {key: value for key, value in values.items() if key in PLAIN_FIELDS}
        for table, fields in TABLES.items():
            inner = values.get(table, {})
            check_keys(f"search space's [{table}]", inner, fields)
            flat |= {fields[key]: value for key, value in inner.items()}
        return cls(**flat)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON in the layout of the TOML files."""

        def plain(value: Any) -> Any:
            return list(value) if isinstance(value, tuple) else value

        values = {field: plain(getattr(self, field)) for field in PLAIN_FIELDS}
        for table, fields in TABLES.items():
            values[table] = {key: plain(getattr(self, field)) for key, field in fields.items()}
            values[table] = {k: v for k, v in values[table].items() if v is not None}
        return {key: value for key, value in values.items() if value is not None}

    def fit(self, *, img_size: int | None = None, in_chans: int, num_classes: int) -> SearchSpace:
        """This space for images of that shape; patch sizes that do not divide them are dropped."""
        sizes = self.img_size if img_size is None else (img_size,)
        patches = tuple(p for p in self.patch_size if any(size % p == 0 for size in sizes))
        return dataclasses.replace(
            self,
            img_size=sizes,
            patch_size=patches or self.patch_size,
            in_chans=in_chans,
            num_classes=num_classes,
        )

    # ---- genes ---------------------------------------------------------------------------------

    @cached_property
    def genes(self) -> dict[str, tuple[Any, ...]]:
        """The choices of every gene by name, a fixed number of genes for all networks of the space.

        A gene that a network does not use (the second pool's place in a network with one) stands at
        its first choice in the canonical assignment. Places are relative to the depth.
        """
        genes: dict[str, tuple[Any, ...]] = {
            field: getattr(self, field) for field in PLAIN_GENES if getattr(self, field)
        }
        deepest = max(self.depth)
        genes["reattention"] = self.reattention
        if "suffix" in self.reattention:
            genes["reattention_last"] = tuple(range(1, deepest + 1))
        if "free" in self.reattention:
            genes |= {f"reattention_{i}": (False, True) for i in range(1, deepest + 1)}
        if self.reattention != ("none",):
            genes["reattention_scale"] = self.reattention_scale
        genes["pool_stages"] = self.pool_stages
        if max(self.pool_stages):
            places = tuple(range(self._pool_slots))
            genes |= {f"pool_{i}_after": places for i in range(1, max(self.pool_stages) + 1)}
            genes["pool_kernel_size"] = self.pool_kernel_size
            genes["pool_stride"] = self.pool_stride
            genes["pool_op"] = self.pool_op
        return {name: choices for name, choices in genes.items() if len(choices) > 1}

    def decode(self, params: Mapping[str, Any]) -> Architecture:
        """The network of an assignment of genes; missing genes stand at their first choice.

        Combinations that cannot be built are mended: the nearest patch size that divides the image,
        as many pools as the tokens allow.
        """

        def gene(name: str, choices: tuple[Any, ...]) -> Any:
            return params.get(name, choices[0])

        img, patch, stem = self._nearest_grid(
            gene("img_size", self.img_size),
            gene("patch_size", self.patch_size),
            gene("stem", self.stem),
        )
        dim, depth = gene("embed_dim", self.embed_dim), gene("depth", self.depth)
        if self.num_heads is not None:
            heads = gene("num_heads", self.num_heads)
        else:
            heads = dim // gene("head_dim", self.head_dim or (dim,))
        reattention = self._decode_reattention(params, depth)
        scale = gene("reattention_scale", self.reattention_scale)
        return Architecture(
            img_size=img,
            patch_size=patch,
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            mlp_ratio=gene("mlp_ratio", self.mlp_ratio),
            reattention=reattention,
            pools=self._decode_pools(params, depth, (img // patch) ** 2),
            head=gene("head", self.head),
            stem=stem,
            reattention_scale=scale if reattention else self.reattention_scale[0],
            residual_scale=gene("residual_scale", self.residual_scale),
        )

    def _nearest_grid(self, img: int, patch: int, stem: Stem) -> tuple[int, int, Stem]:
        if (img, patch, stem) in self._grids:
            return img, patch, stem
        return min(
            (grid for grid in self._grids if grid[0] == img),
            key=lambda grid: (abs(math.log(grid[1] / patch)), grid[2] != stem),
        )

    def _decode_reattention(self, params: Mapping[str, Any], depth: int) -> tuple[int, ...]:
        placement = params.get("reattention", self.reattention[0])
        if placement == "none":
            return ()
        if placement == "all":
            return tuple(range(depth))
        deepest = max(self.depth)
        if placement == "suffix":
            last = -(-params.get("reattention_last", 1) * depth // deepest)
            return tuple(range(depth - last, depth))
        # Gene i is the i-th block from the end, so that depth can change and the suffix stays.
        return tuple(b for b in range(depth) if params.get(f"reattention_{depth - b}", False))

    def _decode_pools(self, params: Mapping[str, Any], depth: int, tokens: int) -> tuple[Pool, ...]:
        stages = params.get("pool_stages", self.pool_stages[0])
        if not stages:
            return ()
        kernel = params.get("pool_kernel_size", self.pool_kernel_size[0])
        stride = params.get("pool_stride", self.pool_stride[0])
        op = params.get("pool_op", self.pool_op[0])
        free = list(self._pool_positions[depth])
        most = min(stages, len(free), _possible_stages(tokens, kernel, stride, stages))
        stages = max(s for s in self.pool_stages if s <= most)
        places, count = [], len(free)
        for i in range(1, stages + 1):
            wanted = params.get(f"pool_{i}_after", 0) * count // self._pool_slots
            target = self._pool_positions[depth][wanted]
            block = min(free, key=lambda b: (abs(b - target), b))
            free.remove(block)
            places.append(block)
        return tuple(
            Pool(after=b, kernel_size=kernel, stride=stride, op=op) for b in sorted(places)
        )

    def encode(self, architecture: Architecture) -> Params:
        """The canonical assignment of `genes` for a network of the space (`decode` gives it back,
        or the same network in other words). Raises ValueError if it is not in the space."""
        a = architecture
        if a not in self:
            raise ValueError(
                f"The architecture must be in the space {self.name!r}, but is not: {a}"
            )
        values: Params = {
            field: next(m for m in self.mlp_ratio if int(a.embed_dim * m) == a.mlp_hidden_dim)
            if field == "mlp_ratio"
            else getattr(a, field)
            for field in PLAIN_GENES
        }
        values |= self._encode_reattention(a) | self._encode_pools(a)
        return {name: values.get(name, choices[0]) for name, choices in self.genes.items()}

    def _encode_reattention(self, a: Architecture) -> Params:
        blocks, depth, deepest = a.reattention, a.depth, max(self.depth)
        if not blocks and "none" in self.reattention:
            return {"reattention": "none"}
        values: Params = {"reattention_scale": a.reattention_scale} if blocks else {}
        if len(blocks) == depth and "all" in self.reattention:
            return values | {"reattention": "all"}
        if blocks and len(blocks) == depth - blocks[0] and "suffix" in self.reattention:
            last = (len(blocks) - 1) * deepest // depth + 1  # the smallest gene that decodes to it
            return values | {"reattention": "suffix", "reattention_last": last}
        bits = {f"reattention_{depth - b}": True for b in blocks}
        bits |= {
            f"reattention_{i}": False for i in range(1, deepest + 1) if depth - i not in blocks
        }
        return values | {"reattention": "free"} | bits

    def _encode_pools(self, a: Architecture) -> Params:
        if not a.pools:
            return {"pool_stages": 0}
        positions = self._pool_positions[a.depth]
        values: Params = {"pool_stages": len(a.pools)}
        for i, pool in enumerate(a.pools, start=1):
            place = positions.index(pool.after)
            values[f"pool_{i}_after"] = -(-place * self._pool_slots // len(positions))
        shapes = itertools.product(self.pool_kernel_size, self.pool_stride, self.pool_op)
        wanted = _pool_shape_key(a.grid_tokens, a.pools)
        for kernel, stride, op in shapes:
            pool = Pool(after=0, kernel_size=kernel, stride=stride, op=op)
            if _pool_shape_key(a.grid_tokens, (pool,) * len(a.pools)) == wanted:
                return values | {
                    "pool_kernel_size": kernel,
                    "pool_stride": stride,
                    "pool_op": op,
                }
        raise AssertionError("a member's pools have a shape of the space")

    # ---- drawing, counting, asking -------------------------------------------------------------

    def key(self, architecture: Architecture) -> Hashable:
        """Equal for two spellings of one network: mlp_ratio 4 and 4.0, a scale without
        Re-attention, the stride of a pool that leaves one token."""
        return architecture_key(architecture)

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        a = architecture
        return (
            a.num_heads in self._heads(a.embed_dim)
            and (a.img_size, a.patch_size, a.stem) in self._grids
            and (a.in_chans, a.num_classes) == (self.in_chans, self.num_classes)
            and a.embed_dim in self.embed_dim
            and a.depth in self.depth
            and any(int(a.embed_dim * m) == a.mlp_hidden_dim for m in self.mlp_ratio)
            and a.head in self.head
            and a.residual_scale in self.residual_scale
            and (a.reattention == () or a.reattention_scale in self.reattention_scale)
            and a.reattention in self._reattention_sets(a.depth, lazily=True)
            and len(a.pools) in self.pool_stages
            and all(pool.after in self._pool_positions[a.depth] for pool in a.pools)
            and _pool_shape_key(a.grid_tokens, a.pools)
            in self._pool_shapes(a.grid_tokens, len(a.pools))
        )

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random network: every gene uniform over its choices."""
        return self.decode(self._sample_genes(rng))

    def _sample_genes(self, rng: np.random.Generator) -> Params:
        draws = rng.random(len(self.genes))
        return {
            name: choices[int(draw * len(choices))]
            for (name, choices), draw in zip(self.genes.items(), draws.tolist(), strict=True)
        }

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A network of the space that differs in one gene: half of the time by the next choice.

        The same network if the space has no other.
        """
        params, names = self.encode(architecture), list(self.genes)
        key = architecture_key(architecture)
        for _ in range(64 if names else 0):
            name = names[int(rng.integers(len(names)))]
            choices = self.genes[name]
            here = choices.index(params[name])
            if rng.random() < 0.5:
                there = here + (1 if rng.random() < 0.5 else -1)
            else:
                there = int(rng.integers(len(choices)))
            if there == here or not 0 <= there < len(choices):
                continue
            other = self.decode({**params, name: choices[there]})
            if architecture_key(other) != key:
                return other
        return architecture

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """A network whose genes each come from one of the two parents."""
        a, b = self.encode(first), self.encode(second)
        takes = rng.random(len(a)).tolist()
        return self.decode(
            {name: a[name] if t < 0.5 else b[name] for name, t in zip(a, takes, strict=True)}
        )

    def size(self) -> int:
        """The exact number of distinct networks, without building them."""
        per_width = sum(
            len({int(dim * m) for m in self.mlp_ratio}) * len(self._heads(dim))
            for dim in self.embed_dim
        )
        per_depth = sum(
            self._reattention_count(depth)
            * sum(
                math.comb(len(self._pool_positions[depth]), stages)
                * len(self._pool_shapes((img // patch) ** 2, stages))
                for stages in self.pool_stages
            )
            for img, patch, _ in self._grids
            for depth in self.depth
        )
        return per_width * per_depth * len(self.head) * len(self.residual_scale)

    def enumerate(self) -> Iterator[Architecture]:
        """Every distinct network of the space once. As many as `size()`: look at that first."""
        shapes = itertools.product(
            self._grids, self.embed_dim, self.depth, self.head, self.residual_scale
        )
        for (img, patch, stem), dim, depth, head, residual in shapes:
            tokens = (img // patch) ** 2
            ratios = {int(dim * m): m for m in reversed(self.mlp_ratio)}
            inner = itertools.product(self._heads(dim), sorted(ratios), self._mixings(depth))
            for heads, hidden, (blocks, scale) in inner:
                for pools in self._poolings(depth, tokens):
                    yield Architecture(
                        img_size=img,
                        patch_size=patch,
                        in_chans=self.in_chans,
                        num_classes=self.num_classes,
                        embed_dim=dim,
                        depth=depth,
                        num_heads=heads,
                        mlp_ratio=ratios[hidden],
                        reattention=blocks,
                        pools=pools,
                        head=head,
                        stem=stem,
                        reattention_scale=scale,
                        residual_scale=residual,
                    )

    def smallest(self) -> Architecture:
        """The network of the space with the fewest FLOPs."""
        grids = itertools.product(self._grids, self.head)
        cheapest = (_smallest_network(self, *grid, head) for grid, head in grids)
        return min(cheapest, key=count_flops)

    def _heads(self, dim: int) -> tuple[int, ...]:
        if self.num_heads is not None:
            return self.num_heads
        return tuple(dim // head_dim for head_dim in self.head_dim or ())

    def _mixings(self, depth: int) -> Iterator[tuple[tuple[int, ...], bool]]:
        for blocks in self._reattention_sets(depth):
            scales = self.reattention_scale if blocks else self.reattention_scale[:1]
            yield from ((blocks, scale) for scale in scales)

    def _reattention_count(self, depth: int) -> int:
        if "free" in self.reattention:
            empty, mixing = 1, 2**depth - 1
        else:
            empty = int("none" in self.reattention)
            mixing = depth if "suffix" in self.reattention else int("all" in self.reattention)
        return empty + mixing * len(self.reattention_scale)

    def _reattention_sets(self, depth: int, *, lazily: bool = False) -> Any:
        """The distinct sets of mixing blocks at that depth; `lazily`: only to test with `in`."""
        blocks = range(depth)
        if "free" in self.reattention:
            if lazily:
                return _Anything()
            sizes = range(depth + 1)
            return itertools.chain.from_iterable(itertools.combinations(blocks, k) for k in sizes)
        sets: list[tuple[int, ...]] = [()] if "none" in self.reattention else []
        if "suffix" in self.reattention:
            sets += [tuple(range(depth - k, depth)) for k in range(1, depth + 1)]
        elif "all" in self.reattention:
            sets.append(tuple(blocks))
        return sets

    def _pool_shapes(self, tokens: int, stages: int) -> dict[Hashable, tuple[int, int, PoolOp]]:
        """The distinct (kernel_size, stride, op) of `stages` pools on `tokens` tokens."""
        if not stages:
            return {(): (1, 1, "max")}
        if (tokens, stages) not in self._known_pool_shapes:
            shapes: dict[Hashable, tuple[int, int, PoolOp]] = {}
            for shape in itertools.product(self.pool_kernel_size, self.pool_stride, self.pool_op):
                kernel, stride, op = shape
                if _possible_stages(tokens, kernel, stride, stages) == stages:
                    pool = Pool(after=0, kernel_size=kernel, stride=stride, op=op)
                    shapes.setdefault(_pool_shape_key(tokens, (pool,) * stages), shape)
            self._known_pool_shapes[tokens, stages] = shapes
        return self._known_pool_shapes[tokens, stages]

    @cached_property
    def _known_pool_shapes(self) -> dict[tuple[int, int], dict[Hashable, tuple[int, int, PoolOp]]]:
        return {}

    def _poolings(self, depth: int, tokens: int) -> Iterator[tuple[Pool, ...]]:
        for stages in self.pool_stages:
            for kernel, stride, op in self._pool_shapes(tokens, stages).values():
                for places in itertools.combinations(self._pool_positions[depth], stages):
                    yield tuple(
                        Pool(after=b, kernel_size=kernel, stride=stride, op=op) for b in places
                    )


class _Anything:
    """Contains whatever is looked for."""

    def __contains__(self, item: object) -> bool:
        return True


def architecture_key(architecture: Architecture) -> tuple[Any, ...]:
    """A hashable identity of the network that `architecture` spells."""
    a = architecture
    return (
        a.img_size,
        a.patch_size,
        a.in_chans,
        a.num_classes,
        a.embed_dim,
        a.depth,
        a.num_heads,
        a.mlp_hidden_dim,
        a.reattention,
        tuple(pool.after for pool in a.pools),
        _pool_shape_key(a.grid_tokens, a.pools),
        a.head,
        a.stem,
        bool(a.reattention) and a.reattention_scale,
        float(a.residual_scale),
    )


def _pool_shape_key(tokens: int, pools: tuple[Pool, ...]) -> tuple[tuple[int, int, str], ...]:
    """What pools do, apart from their places: a stride matters only if two windows fit, and the
    operation only if a window holds two tokens."""
    shapes = []
    for pool in pools:
        tokens = pool.tokens_after(tokens)
        stride = pool.stride if tokens > 1 else 0
        shapes.append((pool.kernel_size, stride, pool.op if pool.kernel_size > 1 else "max"))
    return tuple(shapes)


def _possible_stages(tokens: int, kernel: int, stride: int, most: int) -> int:
    """How many pools in a row, at most `most`, each leave fewer tokens and at least one."""
    for stage in range(most):
        left = (tokens - kernel) // stride + 1
        if not 1 <= left < tokens:
            return stage
        tokens = left
    return most


def _smallest_network(
    space: SearchSpace, img: int, patch: int, stem: Stem, head: Head
) -> Architecture:
    """The network of fewest FLOPs on that grid: least depth and width, most and earliest pools."""
    depth, dim = min(space.depth), min(space.embed_dim)
    placement = next(p for p in ("none", "free", "suffix", "all") if p in space.reattention)
    blocks = {"none": (), "free": (), "suffix": (depth - 1,), "all": tuple(range(depth))}[placement]
    tokens = (img // patch) ** 2
    networks = []
    for kernel, stride in itertools.product(space.pool_kernel_size, space.pool_stride):
        places = space._pool_positions[depth]
        most = _possible_stages(tokens, kernel, stride, min(max(space.pool_stages), len(places)))
        stages = max((s for s in space.pool_stages if s <= most), default=0)
        networks.append(
            Architecture(
                img_size=img,
                patch_size=patch,
                in_chans=space.in_chans,
                num_classes=space.num_classes,
                embed_dim=dim,
                depth=depth,
                num_heads=min(space._heads(dim)),
                mlp_ratio=min(space.mlp_ratio),
                reattention=blocks,
                pools=tuple(
                    Pool(after=b, kernel_size=kernel, stride=stride, op=space.pool_op[0])
                    for b in places[:stages]
                ),
                head=head,
                stem=stem,
                reattention_scale=space.reattention_scale[0],
                residual_scale=space.residual_scale[0],
            )
        )
    return min(networks, key=count_flops)
