"""The work of each command, as functions.

They read and write plan/, data/, models/ and results/ in the current folder, where DVC runs them. The run cache,
downloads and MLflow's store outlive an experiment, so they are at the project's root.
"""
