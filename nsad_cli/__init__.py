"""NSAD: learn from a large model's wrong answers as well as its right ones."""

from nsad_cli.utils.version import __version__

__all__ = ["__version__"]
