"""Real processes that start at once: forks of one that has imported all that a command needs.

`python -m pipeline train` imports for four seconds, MLflow in the command and torch in its fork server; `evaluate` for
eight. Here one process does that once for a whole session of pytest, then forks a child for each command: with a
session, signals, workers, a fork server and an exit code of its own.
"""
