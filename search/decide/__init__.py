"""Who decides what is trained next and what goes on. No Ray, no disk."""
