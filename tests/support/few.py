"""A search space of 204 networks with pools: a sampler looks at it as a whole, which digits, of
3.8 million, is too large for."""

from space import SearchSpace

FEW = SearchSpace.from_dict(
    {
        "name": "few",
        "img_size": [8],
        "patch_size": [2, 4],
        "in_chans": 1,
        "num_classes": 10,
        "embed_dim": [16, 32, 64],
        "depth": [1, 2, 4, 6],
        "head_dim": [16],
        "mlp_ratio": [1, 2],
        "pooling": {"stages": [0, 1]},
    }
)
