"""What any host/device protocol needs, and no particular one: rules, proofs, runs."""
