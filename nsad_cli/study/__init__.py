"""Studies: arms × seeds, one run per cell, with equal budgets and paired statistics against a control."""
