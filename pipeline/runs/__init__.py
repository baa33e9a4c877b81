"""Reads params.yaml into typed settings, and defines runs with their records and fingerprints."""
