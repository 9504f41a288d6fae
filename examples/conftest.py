"""What pytest needs to know of the examples."""

pytest_plugins = ["jobkit.testing.fixtures"]
