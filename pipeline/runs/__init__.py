"""Typed objects for params.yaml, and runs with their records and fingerprints."""
