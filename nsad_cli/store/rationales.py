"""The store: problems, draws and verdicts in SQLite; each draw exactly once, committed the moment it arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from nsad_cli.store.claims import BATCH
from nsad_cli.store.records import Batch, ReviewedLabel, ReviewItem, ReviewSource, StoredDraw
from nsad_cli.store.sqlite import LOCK_TIMEOUT_SECONDS, connect, connect_to_read
from nsad_cli.types import Draw, Finish, Grade, Problem, Rationale, Verdict

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path
    from types import TracebackType

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
"""What each format of the file adds to the one before; see database.connect."""
LABEL = "label"
"""The grader of a verdict that came with the draw, where no gold answer is known: no grader's version outdates it."""
PROBLEM = "p.id, p.question, p.answer, p.benchmark, p.split, p.solution, p.subject, p.level"
SKIPPED = "skip"
"""A review that leaves the draw to the grader."""
JUDGED = "draws d LEFT JOIN verdicts v ON v.draw_id = d.id LEFT JOIN reviews r ON r.draw_id = d.id"
VERDICT = f"COALESCE(NULLIF(r.verdict, '{SKIPPED}'), v.verdict)"
"""The verdict on a draw of JUDGED: a person's, else the grader's, else null."""

Live = Callable[[str, float], bool]
"""Whether the owner of a claim, made at a time, is still at work."""


class Store:
    """One SQLite file; several processes may write to it at once."""

    def __init__(self, path: Path, *, read_only: bool = False, patience: float = LOCK_TIMEOUT_SECONDS) -> None:
        """Open or make the store, or only read one that is there.

        patience: seconds to wait for another process's write.
        Raises NsadError for a file that cannot be opened, is no store, or has another version's format.
        """
        self.path = path
        self._db = (connect_to_read if read_only else connect)(path, FORMATS, "store", patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Add problems that are not there yet, in order; a corrected gold answer takes its verdicts with it, also
        those of people.
        """
        with self._db.writing() as db:
            known = dict(db.execute("SELECT id, answer FROM problems"))
            stated: dict[str, Problem] = {}
            for problem in problems:
                stated.setdefault(problem.id, problem)
            problems = [problem for problem in stated.values() if known.get(problem.id) != problem.answer]
            corrected = [(problem.id,) for problem in problems if problem.id in known]
            for table in ("verdicts", "reviews"):
                db.executemany(
                    f"DELETE FROM {table} WHERE draw_id IN (SELECT id FROM draws WHERE problem_id = ?)", corrected
                )
            (position,) = db.execute("SELECT COALESCE(MAX(position) + 1, 0) FROM problems").fetchone()
            db.executemany(
                "INSERT INTO problems VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                " answer = excluded.answer, solution = excluded.solution WHERE answer <> excluded.answer",
                [
                    (p.id, position + i, p.benchmark, p.split, p.question, p.answer, p.solution, p.subject, p.level)
                    for i, p in enumerate(problems)
                ],
            )

    def add_draws(self, draws: Iterable[Draw], params: str) -> int:
        """Add draws in one commit; one that is there already stays as it is. Returns how many are new."""
        with self._db.writing() as db:
            draws = list(draws)
            db.executemany(
                "DELETE FROM claims WHERE problem_id = ? AND teacher = ? AND params = ? AND number = ?",
                [(d.problem_id, d.teacher, params, d.index) for d in draws],
            )
            before = db.total_changes
            db.executemany(
                "INSERT INTO draws (problem_id, teacher, params, number, text, finish, prompt_tokens,"
                " completion_tokens, created) VALUES (?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (problem_id, teacher, params, number) DO NOTHING",
                [
                    (
                        d.problem_id,
                        d.teacher,
                        params,
                        d.index,
                        d.text,
                        d.finish.value,
                        d.prompt_tokens,
                        d.completion_tokens,
                        time.time(),
                    )
                    for d in draws
                ],
            )
            return int(db.total_changes - before)

    def claim(
        self, teacher: str, params: str, wanted: Iterable[tuple[str, tuple[int, ...]]], owner: str, live: Live
    ) -> list[tuple[int, ...]]:
        """Claim draws before asking for them, in one commit: of each problem's numbers those that are now the owner's.

        The others are stored already, or claimed by somebody who is at work on them (`live`: owner, since when).
        """
        granted = []
        with self._db.writing() as db:
            for problem_id, numbers in wanted:
                key = (problem_id, teacher, params)
                where = "WHERE problem_id = ? AND teacher = ? AND params = ?"
                stored = {row[0] for row in db.execute(f"SELECT number FROM draws {where}", key)}
                claims = db.execute(f"SELECT number, owner, created FROM claims {where}", key).fetchall()
                taken = stored | {number for number, by, since in claims if by != owner and live(by, since)}
                granted.append(tuple(number for number in numbers if number not in taken))
                db.executemany(
                    "INSERT OR REPLACE INTO claims VALUES (?,?,?,?,?,?)",
                    [(*key, number, owner, time.time()) for number in granted[-1]],
                )
        return granted

    def release(self, owner: str) -> None:
        """Give up all claims of an owner."""
        with self._db.writing() as db:
            db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def plan_batch(
        self, batch: Batch, teacher: str, params: str, base_url: str, draws: Iterable[tuple[str, int]]
    ) -> None:
        """Note a batch before it is handed over; from now on it holds the claims on its draws, whoever dies."""
        requests = json.dumps({"owner": batch.owner, "lines": batch.lines})
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO batches VALUES (?,?,?,?,'open',?,?)",
                (batch.id, teacher, params, base_url, requests, batch.created),
            )
            db.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?,?,?,?,?,?)",
                [(pid, teacher, params, number, BATCH + batch.id, batch.created) for pid, number in draws],
            )

    def name_batch(self, old: str, new: str) -> None:
        """Give a batch the id by which its API knows it."""
        with self._db.writing() as db:
            db.execute("UPDATE batches SET id = ? WHERE id = ?", (new, old))
            db.execute("UPDATE claims SET owner = ? WHERE owner = ?", (BATCH + new, BATCH + old))

    def close_batch(self, batch_id: str) -> None:
        """Nothing more will come of a batch: it gives up its claims."""
        with self._db.writing() as db:
            db.execute("UPDATE batches SET state = 'closed' WHERE id = ?", (batch_id,))
            db.execute("DELETE FROM claims WHERE owner = ?", (BATCH + batch_id,))

    def give_up_batch(self, batch_id: str) -> bool:
        """Close a batch whatever has become of it; False where none of that id is open."""
        open_ = self._db.execute("SELECT 1 FROM batches WHERE id = ? AND state = 'open'", (batch_id,)).fetchone()
        if open_:
            self.close_batch(batch_id)
        return bool(open_)

    def set_verdicts(self, verdicts: Iterable[tuple[int, Grade]], grader: str) -> None:
        """Record verdicts by a draw's key, in place of earlier ones."""
        with self._db.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?)",
                [(key, j.verdict.value, j.answer, j.reason, grader) for key, j in verdicts],
            )

    def forget_verdicts(self, params: str) -> None:
        """Drop the verdicts on the draws made with these parameters, but for labels: they will be judged again."""
        with self._db.writing() as db:
            db.execute(
                "DELETE FROM verdicts WHERE grader <> ? AND draw_id IN (SELECT id FROM draws WHERE params = ?)",
                (LABEL, params),
            )

    def review(self, key: int, verdict: Verdict | None, queue: ReviewSource) -> None:
        """Record a person's verdict by a draw's key; it goes before any of the grader's. None skips the draw."""
        with self._db.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO reviews (draw_id, verdict, created, queue) VALUES (?,?,?,?)",
                (key, SKIPPED if verdict is None else verdict.value, time.time(), queue.value),
            )

    def forget_review(self, key: int) -> None:
        """Take a person's verdict back: the grader's holds again."""
        with self._db.writing() as db:
            db.execute("DELETE FROM reviews WHERE draw_id = ?", (key,))

    # --- reading --------------------------------------------------------------------------------------------------

    def missing(self, problem_ids: Iterable[str], draws: int, teacher: str, params: str) -> dict[str, tuple[int, ...]]:
        """The draw numbers below `draws` that each problem still lacks; a problem that lacks none is left out."""
        where = "teacher = ? AND params = ? AND number < ?"
        rows = self._db.execute(
            f"SELECT problem_id, COUNT(*), MAX(number) FROM draws WHERE {where} GROUP BY problem_id",
            (teacher, params, draws),
        )
        drawn = {pid: (count, last) for pid, count, last in rows}
        everything, found = tuple(range(draws)), {}
        for pid in problem_ids:
            count, last = drawn.get(pid, (0, -1))
            if count == last + 1:  # the first ones, as most often
                lacking = everything[count:]
            else:
                rows = self._db.execute(
                    f"SELECT number FROM draws WHERE problem_id = ? AND {where}", (pid, teacher, params, draws)
                )
                stored = {row[0] for row in rows}
                lacking = tuple(number for number in everything if number not in stored)
            if lacking:
                found[pid] = lacking
        return found

    def drawn(self, teacher: str, params: str) -> dict[str, int]:
        """How many draws each problem has of a teacher with its parameters."""
        where = "WHERE teacher = ? AND params = ? GROUP BY problem_id"
        return dict(self._db.execute(f"SELECT problem_id, COUNT(*) FROM draws {where}", (teacher, params)).fetchall())

    def open_batches(self, teacher: str, params: str, base_url: str) -> list[Batch]:
        """The batches of a teacher and its parameters at one API that are not closed, the oldest first."""
        rows = self._db.execute(
            "SELECT id, requests, created FROM batches"
            " WHERE teacher = ? AND params = ? AND base_url = ? AND state = 'open' ORDER BY created",
            (teacher, params, base_url),
        )
        found = [(row[0], json.loads(row[1]), row[2]) for row in rows]
        return [Batch(key, tuple(value["lines"]), value["owner"], created) for key, value, created in found]

    def in_batches(self, teacher: str, params: str) -> dict[str, dict[int, str]]:
        """The draws that open batches hold, at whatever API: by problem and number the batch's id."""
        rows = self._db.execute(
            "SELECT problem_id, number, owner FROM claims WHERE teacher = ? AND params = ? AND owner GLOB ?",
            (teacher, params, BATCH + "*"),
        )
        found: dict[str, dict[int, str]] = {}
        for pid, number, owner in rows:
            found.setdefault(pid, {})[number] = owner.removeprefix(BATCH)
        return found

    def mean_tokens(self, teacher: str, params: str) -> tuple[float, int]:
        """The mean of the tokens that a teacher wrote for a draw, and of how many: with these parameters, else any."""
        query = "SELECT AVG(completion_tokens), COUNT(*) FROM draws WHERE teacher = ? AND completion_tokens > 0"
        for more, values in ((" AND params = ?", (teacher, params)), ("", (teacher,))):
            mean, count = self._db.execute(query + more, values).fetchone()
            if count:
                break
        return float(mean or 0), int(count)

    def lacking(self, teacher: str, params: str, positives: int, negatives: int) -> set[str]:
        """Problems that have draws, a usable gold answer, and too few right or wrong rationales."""
        rows = self._db.execute(
            f"SELECT problem_id FROM (SELECT d.problem_id, {VERDICT} AS verdict FROM {JUDGED}"
            " WHERE d.teacher = ? AND d.params = ?) GROUP BY problem_id"
            " HAVING SUM(verdict IS 'bad_gold') = 0"
            " AND (SUM(verdict IS 'correct') < ? OR SUM(verdict IS 'wrong') < ?)",
            (teacher, params, positives, negatives),
        )
        return {row[0] for row in rows}

    def problems(self) -> list[Problem]:
        """All problems, in the order in which they came."""
        return [_problem(row) for row in self._db.execute(f"SELECT {PROBLEM} FROM problems p ORDER BY p.position")]

    def ungraded(self, grader: str) -> Iterator[StoredDraw]:
        """Draws without a label or a verdict by this grader's version, in a fixed order."""
        rows = self._db.execute(
            "SELECT d.id, d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens,"
            " p.answer FROM draws d JOIN problems p ON p.id = d.problem_id LEFT JOIN verdicts v ON v.draw_id = d.id"
            " WHERE v.grader IS NOT ? AND v.grader IS NOT ? ORDER BY d.id",
            (grader, LABEL),
        ).fetchall()
        for row in rows:
            draw = Draw(row[1], row[2], row[3], row[4], Finish(row[5]), row[6], row[7])
            yield StoredDraw(row[0], draw, row[8])

    def draws(self, teacher: str, params: str) -> list[Draw]:
        """All draws of a teacher with its parameters: by problem in order, then by number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.teacher, d.number, d.text, d.finish, d.prompt_tokens, d.completion_tokens"
            " FROM draws d JOIN problems p ON p.id = d.problem_id WHERE d.teacher = ? AND d.params = ?"
            " ORDER BY p.position, d.number",
            (teacher, params),
        )
        return [Draw(row[0], row[1], row[2], row[3], Finish(row[4]), row[5], row[6]) for row in rows]

    def rationales(self, verdict: Verdict, *, teacher: str, params: str) -> list[Rationale]:
        """Rationales of one verdict by a teacher and its parameters: by problem in order, then by draw."""
        rows = self._db.execute(
            f"SELECT {PROBLEM}, d.text, d.number FROM {JUDGED} JOIN problems p ON p.id = d.problem_id"
            f" WHERE {VERDICT} = ? AND d.teacher = ? AND d.params = ? ORDER BY p.position, d.number",
            (verdict.value, teacher, params),
        )
        return [Rationale(_problem(row[:8]), row[8], verdict, row[9]) for row in rows]

    def ledger(self, params: str | None = None) -> list[tuple[str, str, str, int]]:
        """Draws counted by (teacher, subject, verdict); `ungraded` where there is none.

        params: count the draws made with these parameters alone.
        """
        rows = self._db.execute(
            f"SELECT d.teacher, p.subject, COALESCE({VERDICT}, 'ungraded'), COUNT(*) FROM {JUDGED}"
            " JOIN problems p ON p.id = d.problem_id WHERE ?1 IS NULL OR d.params = ?1"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            (params,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def labels(
        self, params: str, graded: Collection[Verdict] = (Verdict.WRONG, Verdict.DISPUTED)
    ) -> list[ReviewedLabel]:
        """The draws made with these parameters that the grader calls wrong or disputed, or one of `graded`."""
        rows = self._db.execute(
            f"SELECT d.id, d.problem_id, d.teacher, d.number, v.verdict, r.queue, r.verdict FROM {JUDGED}"
            f" WHERE d.params = ? AND v.verdict IN ({','.join('?' * len(graded))}) ORDER BY d.id",
            (params, *graded),
        )
        return [
            ReviewedLabel(
                row[0],
                f"{row[1]}:{row[2]}:{params}:{row[3]}",
                Verdict(row[4]),
                None if row[5] is None else ReviewSource(row[5]),
                None if row[6] in (None, SKIPPED) else Verdict(row[6]),
            )
            for row in rows
        ]

    def doubt(self, key: int) -> ReviewItem:
        """A graded draw by its key, to be shown."""
        row = self._db.execute(
            f"SELECT {PROBLEM}, d.teacher, d.text, v.answer, v.reason FROM {JUDGED}"
            " JOIN problems p ON p.id = d.problem_id WHERE d.id = ?",
            (key,),
        ).fetchone()
        return ReviewItem(_problem(row[:8]), *row[8:])

    def counts(self) -> dict[str, int]:
        """How many problems, draws and verdicts there are."""
        return {
            table: self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("problems", "draws", "verdicts")
        }

    def draw_keys(self, teacher: str, params: str) -> dict[tuple[str, int], int]:
        """The keys of a teacher's draws with its parameters, by problem id and number."""
        rows = self._db.execute(
            "SELECT problem_id, number, id FROM draws WHERE teacher = ? AND params = ?", (teacher, params)
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def verdicts(self, teacher: str, params: str) -> dict[tuple[str, int], Verdict]:
        """The verdicts on a teacher's draws with its parameters, by problem id and number."""
        rows = self._db.execute(
            "SELECT d.problem_id, d.number, COALESCE(r.verdict, v.verdict) FROM draws d"
            " JOIN verdicts v ON v.draw_id = d.id LEFT JOIN reviews r ON r.draw_id = d.id"
            " WHERE d.teacher = ? AND d.params = ?",
            (teacher, params),
        )
        return {(row[0], row[1]): Verdict(row[2]) for row in rows}


def _problem(row: sqlite3.Row | tuple[Any, ...]) -> Problem:
    return Problem(*row)
