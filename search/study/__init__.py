"""What is remembered: the study, its database and the run folder. No Ray."""
