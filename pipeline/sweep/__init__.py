"""Many runs: jobs, their workers, the run cache."""
