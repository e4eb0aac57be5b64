"""What a block has beside its attention."""
