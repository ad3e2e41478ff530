"""One access, one verdict: what the specification says of what a driver does."""
