"""Rankers: one interface, three kinds (head, probe, encoder), each with calibrated scores."""
