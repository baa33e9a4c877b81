"""The training of a sweep: the jobs, the workers that execute the jobs, and the run cache."""
