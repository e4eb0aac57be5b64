"""Data to one array: folders, names of timm, splits, decoding and the cache of decoded images."""
