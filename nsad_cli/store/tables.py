"""Tables of the store of rationales and SQL fragments that several of its parts use."""

from __future__ import annotations

FORMATS = (
    """
CREATE TABLE problems (
    id TEXT PRIMARY KEY, position INTEGER NOT NULL, benchmark TEXT NOT NULL, split TEXT NOT NULL,
    question TEXT NOT NULL, answer TEXT NOT NULL, solution TEXT, subject TEXT NOT NULL, level TEXT NOT NULL
);
CREATE TABLE draws (
    id INTEGER PRIMARY KEY, problem_id TEXT NOT NULL REFERENCES problems(id), teacher TEXT NOT NULL,
    params TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL,
    UNIQUE (problem_id, teacher, params, number)
);
CREATE TABLE verdicts (
    draw_id INTEGER PRIMARY KEY REFERENCES draws(id), verdict TEXT NOT NULL, answer TEXT, reason TEXT NOT NULL,
    grader TEXT NOT NULL
);
""",
    """
CREATE TABLE claims (
    problem_id TEXT NOT NULL, teacher TEXT NOT NULL, params TEXT NOT NULL, number INTEGER NOT NULL,
    owner TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (problem_id, teacher, params, number)
) WITHOUT ROWID;
CREATE TABLE reviews (
    draw_id INTEGER PRIMARY KEY REFERENCES draws(id), verdict TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE batches (
    id TEXT PRIMARY KEY, teacher TEXT NOT NULL, params TEXT NOT NULL, base_url TEXT NOT NULL, state TEXT NOT NULL,
    requests TEXT NOT NULL, created REAL NOT NULL
);
""",
    """
ALTER TABLE reviews ADD COLUMN queue TEXT NOT NULL DEFAULT 'disputed';
""",
)
"""The migrations of the file: each one leads from the previous format to the next; see `sqlite.connect`."""

SKIPPED = "skip"
"""The stored verdict of a review that leaves the draw to the grader."""
PROBLEM_COLUMNS = "p.id, p.question, p.answer, p.benchmark, p.split, p.solution, p.subject, p.level"
"""The columns of a Problem, in the order of its fields."""
GRADED_DRAWS = "draws d LEFT JOIN verdicts v ON v.draw_id = d.id LEFT JOIN reviews r ON r.draw_id = d.id"
"""Every draw with its grader's verdict and its review, if it has them."""
VERDICT = f"COALESCE(NULLIF(r.verdict, '{SKIPPED}'), v.verdict)"
"""The verdict that holds for a row of GRADED_DRAWS: the reviewer's, else the grader's, else null."""
