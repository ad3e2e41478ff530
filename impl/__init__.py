"""What runs: the driver. It knows nothing of the rest of the project but `model.layout`."""
