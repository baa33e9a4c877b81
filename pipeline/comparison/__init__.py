"""Comparison of the runs of a sweep: statistics, standings, questions, and the answer."""
