"""Code that trains a sweep: the jobs, the workers that execute them, and the run cache."""
