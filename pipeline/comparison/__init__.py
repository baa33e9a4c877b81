"""Comparison of the runs of a sweep: statistics, questions, and the verdict in words."""
