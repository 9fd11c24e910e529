"""Screens of the dashboard, their state, and the text and tables they show."""
