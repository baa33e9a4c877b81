"""MLflow. Nothing is imported here: a served model has this package, and MLflow need not be installed for it."""
