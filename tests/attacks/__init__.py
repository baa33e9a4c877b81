"""Attacks: whatever the input, the pipeline ends with a result or with a one-line error."""
