"""Compares the runs of a sweep, and says which scheduler to use."""
