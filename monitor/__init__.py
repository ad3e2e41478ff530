"""The specification beside a driver that runs: what every access is, and who broke the rule."""
