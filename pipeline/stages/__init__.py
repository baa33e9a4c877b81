"""The functions that do the work of the commands.

These functions read and write plan/, data/, models/ and results/ in the current folder, where DVC runs the commands.
All experiments share the run cache, downloads and MLflow's store, so these are kept at the project's root.
"""
