"""`SearchSpace`: the networks that a search may choose from, as genes, at random, and counted.

Genes are the plain values a sampler picks, one a name; every assignment decodes to a network of the
space, and every network encodes to one canonical assignment. No sampler and no torch here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from space.architecture import Architecture, Pool, PoolOp, Stem
from space.checks import PLAIN_GENES
from space.choices import Choices
from space.flops import count_flops, count_params
from space.identity import architecture_key, pool_shape_key, possible_stages

Params = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SearchSpace(Choices):
    """The networks of all combinations of its `Choices`; those that cannot be built are left out.

    Raises ValueError on a choice that no network can use.
    """

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
        most = min(stages, len(free), possible_stages(tokens, kernel, stride, stages))
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
        wanted = pool_shape_key(a.grid_tokens, a.pools)
        for kernel, stride, op in shapes:
            pool = Pool(after=0, kernel_size=kernel, stride=stride, op=op)
            if pool_shape_key(a.grid_tokens, (pool,) * len(a.pools)) == wanted:
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
            and ("free" in self.reattention or a.reattention in self._reattention_sets(a.depth))
            and len(a.pools) in self.pool_stages
            and all(pool.after in self._pool_positions[a.depth] for pool in a.pools)
            and pool_shape_key(a.grid_tokens, a.pools)
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
        return min(self._least_networks(only_most_pooled=True), key=count_flops)

    def leanest(self, budget: int) -> Architecture | None:
        """The network of at most `budget` FLOPs with the fewest parameters; `None` without one."""
        networks = self._least_networks(only_most_pooled=False)
        fitting = (network for network in networks if count_flops(network) <= budget)
        return min(fitting, key=count_params, default=None)

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

    def _reattention_sets(self, depth: int) -> Iterable[tuple[int, ...]]:
        """The distinct sets of mixing blocks at that depth."""
        blocks = range(depth)
        if "free" in self.reattention:
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
                if possible_stages(tokens, kernel, stride, stages) == stages:
                    pool = Pool(after=0, kernel_size=kernel, stride=stride, op=op)
                    shapes.setdefault(pool_shape_key(tokens, (pool,) * stages), shape)
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
