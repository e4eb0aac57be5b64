"""A small network of every kind of part, on 16 x 16 grey images of 5 classes."""

from space import Architecture, Stage
from space.parts import KINDS, Mlp, Patch, Plain, read_part

FIELDS = {
    "tome": {"r": 3}, "evit": {"keep": 0.5}, "window": {"size": 2}, "shuffle": {"size": 2},
    "wide": {"head_dim": 4}, "pruning": {"keep": 0.5, "of": 16},
}  # fmt: skip
ATTENTION = ("plain", "reattention", "tome", "evit", "lsa", "l2", "paas", "pooled", "shared",
             "window", "relative", "shuffle", "wide")  # fmt: skip
STEMS = ("patch", "conv", "tokenizer", "overlap", "rvt", "strided")
AFTER = ("pool", "pruning", "conv_pool", "merge")


def network(kind, **fields):
    """Two blocks and, where the kind allows it, a class token."""
    stem, attention, mlp, local, then = (
        Patch(patch_size=4, dim=16),
        Plain(num_heads=2),
        Mlp(),
        (),
        (),
    )
    values = {"kind": kind, **FIELDS.get(kind, {}), **fields}
    if kind in ATTENTION:
        attention = read_part("attention", {"num_heads": 2, **values})
    elif kind in STEMS:
        stem = read_part("stem", {"patch_size": 4, "dim": 16, **values})
    elif kind in AFTER:
        then = (read_part("part", values),)
    elif kind == "local":
        local = (read_part("part", values),)
    else:
        mlp = read_part("mlp", values)
    made = {"mlp": mlp, "local": local[0] if local else None}
    if attention.changes():
        stages = [Stage(depth=1, attention=attention, **made)] * 2
    elif then:
        wider = 2 if kind in ("conv_pool", "merge") else 1
        heads = Plain(num_heads=2 * wider)
        stages = [Stage(depth=1, attention=attention, then=then, **made)]
        stages += [Stage(depth=1, attention=heads, **made)]
    else:
        stages = [Stage(depth=2, attention=attention, **made)]
    no_token = kind in ("window", "shuffle", "tokenizer", "merge", "dwmlp", "local")
    return Architecture(
        img_size=16, in_chans=1, num_classes=5, stem=stem, stages=tuple(stages),
        head="avg" if no_token else "token",
    )  # fmt: skip


NETWORKS = {kind: network(kind) for kind in KINDS}
