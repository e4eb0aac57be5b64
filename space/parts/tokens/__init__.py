"""What is done to the tokens after a stage: pools, pruning."""
