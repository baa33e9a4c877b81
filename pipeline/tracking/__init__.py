"""Tracking with MLflow.

This file imports nothing, because a published model contains a copy of this package, which must load without MLflow.
"""
