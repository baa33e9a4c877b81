"""Benchmarks, which pytest does not run: `uv run python -m tests.benchmarks.<name>`."""
