"""Train the same model under every learning-rate scheduler, and test whether the differences are real."""
