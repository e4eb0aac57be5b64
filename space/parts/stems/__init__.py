"""Stems: an image to tokens on a grid."""
