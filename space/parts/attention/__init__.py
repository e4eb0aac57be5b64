"""Attention: who attends to whom, and how maps are mixed."""
