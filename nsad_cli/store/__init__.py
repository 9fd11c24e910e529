"""SQLite stores of a run: problems with the teacher's draws and verdicts, and candidate chains with their weights."""
