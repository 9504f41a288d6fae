"""A kit whose module cannot be imported."""

kit = 1 / 0
