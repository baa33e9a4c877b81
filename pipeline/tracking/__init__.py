"""MLflow. Nothing is imported here: a published model contains this package, and is loaded without MLflow."""
