"""What happens in a run, one event after the other, and who is told: a file, loggers of others."""
