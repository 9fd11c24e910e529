"""Collection of rationales from a teacher: requests, budgets, quotes and the batch interface."""
