"""The cost of a sweep, measured side by side: `uv run python -m tests.benchmarks.<name>`. Not run by pytest."""
