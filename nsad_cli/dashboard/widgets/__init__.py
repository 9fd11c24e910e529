"""Reusable widgets: lists, charts, heat maps, gauges and dialogs."""
