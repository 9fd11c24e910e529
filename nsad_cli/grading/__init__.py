"""Grading: extract the answer of a rationale, compare it with the gold answer, assign a verdict, review verdicts."""
