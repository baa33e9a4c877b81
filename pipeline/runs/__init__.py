"""Typed settings from params.yaml, and runs with their records and fingerprints."""
