"""Engines execute jobs: so far, worker processes of this machine."""
