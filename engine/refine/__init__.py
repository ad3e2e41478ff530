"""Code that is run on symbolic values beside the specification: whether it takes its steps only."""
