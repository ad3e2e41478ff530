"""The driver's own lines on symbolic values: what they do are steps of the specification."""
