"""params.yaml as typed objects; a run; its record; its fingerprint."""
