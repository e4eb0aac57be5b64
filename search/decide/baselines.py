"""What a search is compared with: plain ViTs, trained as its first trials by the same recipe."""

from __future__ import annotations

import math

from space import NAMED, Architecture, SearchSpace, count_flops, count_params

RUNGS = 4
ASPECT = 16  # embed_dim / depth of DeiT-Ti


def baselines(
    space: SearchSpace, budget: int, *, most: int, max_params: int | None = None
) -> dict[str, Architecture]:
    """At most `most` networks of the space under the budget and `max_params`, by name, the largest
    first: named models that are in it, then a ladder of plain ViTs."""
    # The ladder has no Re-attention and no pools, stands near 1, 1/2, 1/4 and 1/8 of the most that
    # fits, and has DeiT's proportions.

    def fits(a: Architecture) -> bool:
        few = max_params is None or count_params(a) <= max_params
        return few and count_flops(a) <= budget

    known = {name: a for name, a in NAMED.items() if a in space and fits(a)}
    chosen = dict(sorted(known.items(), key=lambda item: -count_flops(item[1])))
    plain = [(a, count_flops(a)) for a in _plain_networks(space) if fits(a)]
    top = max((flops for _, flops in plain), default=budget)
    for rung in range(RUNGS):
        target = top / 2**rung
        fitting = [(a, flops) for a, flops in plain if target / 2 < flops <= target]
        if fitting:
            best, _ = min(fitting, key=lambda pair: _awkwardness(pair[0], pair[1], target))
            patch = getattr(best.stem, "patch_size", 1)
            chosen.setdefault(f"plain_d{best.depth}_w{best.embed_dim}_p{patch}", best)
    keys = {space.key(a): name for name, a in reversed(chosen.items())}
    kept = [name for name in chosen if keys[space.key(chosen[name])] == name]
    kept.sort(key=lambda name: -count_flops(chosen[name]))
    return {name: chosen[name] for name in kept[:most]}


def _awkwardness(a: Architecture, flops: int, target: float) -> float:
    """How far from the target and from DeiT's proportions, in factors of e."""
    shape = abs(math.log(a.embed_dim / a.depth / ASPECT))
    ratio = getattr(a.stages[0].mlp, "ratio", 4)
    return math.log(target / flops) + 0.5 * shape + 0.5 * abs(math.log(ratio / 4))


def _plain_networks(space: SearchSpace) -> list[Architecture]:
    """Networks without any kind that is placed, of every depth and width, behind patches where
    the space has them, with its middle patch size."""
    off = [placement.off() for placement in space.placements]
    if None in off:
        return []
    ratio = min(space.mlp_ratio, key=lambda value: abs(value - 4))
    first = {
        "patch_size": space.patch_size[len(space.patch_size) // 2],
        "img_size": space.img_size[-1],
        "mlp_ratio": ratio,
        "stem": "patch" if "patch" in space.stem else space.stem[0],
        **{gene: choice for genes in off if genes for gene, choice in genes.items()},
    }
    for name, heads in (("head_dim", space.head_dim), ("num_heads", space.num_heads)):
        if heads:
            first[name] = heads[len(heads) // 2]
    shapes = [(depth, dim) for depth in space.depth for dim in space.embed_dim]
    return [space.decode({**first, "depth": depth, "embed_dim": dim}) for depth, dim in shapes]
