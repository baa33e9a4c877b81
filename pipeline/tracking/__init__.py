"""Tracking with MLflow.

This file must not import anything, because a published model contains a copy of this package, and the copy must load
without MLflow.
"""
