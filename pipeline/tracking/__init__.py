"""Tracking with MLflow.

This file imports nothing, because a published model contains this package but must load without MLflow.
"""
