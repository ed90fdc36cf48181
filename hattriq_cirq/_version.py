"""The version, on its own so that the command line can print it without importing anything heavy."""

__version__ = "0.1.0"
