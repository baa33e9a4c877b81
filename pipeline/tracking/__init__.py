"""Tracking with MLflow. This file imports nothing: a published model contains this package but loads without MLflow."""
