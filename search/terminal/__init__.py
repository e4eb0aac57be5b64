"""What a terminal shows: the live display, messages, the progress of reading."""
