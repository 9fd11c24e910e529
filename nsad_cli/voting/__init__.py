"""Votes taken apart: every rule side by side, what-if, the chains that a result rests on. Pure functions."""
