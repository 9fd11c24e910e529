"""Evaluation: one sampling pass for all rules, intervals, and the report."""
