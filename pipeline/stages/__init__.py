"""The functions that do the work of each command.

These functions read and write plan/, data/, models/ and results/ in the current folder, where DVC runs the commands.
The run cache, downloads and MLflow's store outlive an experiment, so they are kept at the project's root.
"""
