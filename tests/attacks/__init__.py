"""Attacks: whatever the input, the pipeline ends with a result or with an error of one line."""
