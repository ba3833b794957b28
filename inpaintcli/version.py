"""The version of the package, and nothing that would have to be imported to learn it."""

__version__ = "0.1.0"
