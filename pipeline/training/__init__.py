"""Training: the loop, stacks of runs, averages of weights, evaluation, and the range test."""
