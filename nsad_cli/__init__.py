"""NSAD: learn from a large model's wrong answers as well as its right ones."""

__version__ = "0.1.0"
