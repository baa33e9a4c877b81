"""The stages behind the commands: plan, download, train, evaluate, track, calibrate, ui, find-lr.

They work in the current folder, as DVC runs them: data/, models/ and results/ are there, and what outlives an
experiment (run cache, downloads, MLflow's store) is at the project's root.
"""
