"""Rendering of results as tables, charts and text in the terminal."""
