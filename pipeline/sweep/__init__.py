"""Training of many runs: the jobs, the workers that execute them, and the run cache."""
