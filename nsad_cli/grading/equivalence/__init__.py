"""Rules that decide whether two answers are equivalent: numbers, formulas, units, lists, words."""
