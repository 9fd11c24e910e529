"""Experiment trackers: a listener on a run's events, and one adapter per tracker."""
