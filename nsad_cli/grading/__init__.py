"""Answers: reading them out of text, and deciding whether two are the same."""
