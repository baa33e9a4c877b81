"""What the runs of a sweep say together."""
