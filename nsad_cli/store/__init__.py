"""SQLite stores of rationales and chains."""
