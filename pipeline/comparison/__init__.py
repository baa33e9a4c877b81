"""Compares the runs of a sweep, and answers which scheduler to use."""
