from ._sampler import KnownCostEHVISampler

__all__ = ["KnownCostEHVISampler"]
