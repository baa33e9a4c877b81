"""Training: the loop, networks, losses, stacks, evaluation."""
