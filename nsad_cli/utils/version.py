"""The version of NSAD."""

__version__ = "0.1.0"
