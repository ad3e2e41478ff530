"""Programs that scenes of the lab run inside the guest."""
