"""Attacks: whatever is asked of the pipeline, it ends with a result or with one line that says what is wrong."""
