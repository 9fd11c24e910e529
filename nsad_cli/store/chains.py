"""The store of candidate chains: text, token offsets and log-probabilities, answer and its class, rankers' weights."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING

from nsad_cli.store.class_versions import ClassVersions
from nsad_cli.store.sqlite import (
    LOCK_TIMEOUT_SECONDS,
    connect,
    connect_to_read,
    database_error,
    is_write_protected,
    like_pattern,
)
from nsad_cli.types import Chain, Finish, Problem, Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

ChainRow = tuple[str, int, str | None, int | None, int | None, bytes, float | None, float | None, float | None]
"""A chain without its text: problem id, index, answer, answer class, correct (0 or 1), log-probabilities, and the
ranker's weight, probability and likelihood (see Score)."""

FORMATS = (
    """
CREATE TABLE problems (
    id TEXT PRIMARY KEY, question TEXT NOT NULL, gold TEXT NOT NULL, benchmark TEXT NOT NULL, subject TEXT NOT NULL,
    level TEXT NOT NULL
);
CREATE TABLE chains (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, model_key TEXT NOT NULL, sampling TEXT NOT NULL,
    problem_id TEXT NOT NULL REFERENCES problems(id), number INTEGER NOT NULL, text TEXT NOT NULL,
    answer TEXT, finish TEXT NOT NULL, offsets BLOB NOT NULL, logprobs BLOB NOT NULL, answer_class INTEGER,
    correct INTEGER, created REAL NOT NULL, UNIQUE (model, model_key, sampling, problem_id, number)
);
CREATE TABLE weights (
    chain_id INTEGER NOT NULL REFERENCES chains(id), ranker TEXT NOT NULL, weight REAL,
    PRIMARY KEY (chain_id, ranker)
);
""",
)
"""The migrations of the file: each one leads from the previous format to the next; see `sqlite.connect`."""
SCORES = """
CREATE TABLE IF NOT EXISTS scores (
    chain_id INTEGER NOT NULL REFERENCES chains(id), ranker TEXT NOT NULL, probability REAL, likelihood REAL,
    PRIMARY KEY (chain_id, ranker)
)
"""
"""What a ranker says beside the weights; the table is made when it is first written, so that old files stay valid."""


class ChainStore:
    """Chains by model, model key, sampling parameters, problem and index.

    A set is all chains of one model, model key and sampling parameters. The file holds offsets as 32-bit integers and
    log-probabilities as 32-bit floats, both in little-endian blobs.
    """

    def __init__(self, path: Path, *, read_only: bool = False, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        """Open the store, or create it.

        Args:
            path: The SQLite file.
            read_only: Open an existing file without ever changing it; a write-protected one always is.
            lock_timeout: Seconds that a read-only store waits while another process writes.

        Raises:
            NsadError: The file cannot be opened, is not a store, or has another version's format.
        """
        read_only = read_only or is_write_protected(path)
        if read_only:
            self._db = connect_to_read(path, FORMATS, "chain store", lock_timeout)
        else:
            self._db = connect(path, FORMATS, "chain store")
        self.class_versions = ClassVersions(self._db)
        if not read_only:
            self.class_versions.record_if_empty()

    def __enter__(self) -> ChainStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def put(self, problem: Problem, chains: Iterable[Chain], *, model: str, model_key: str, sampling: str) -> None:
        """Store chains of a problem in one transaction, in place of earlier ones with the same key.

        A stored gold answer is not replaced by an empty one. A stored `correct` is not replaced by None, unless the
        chain's text or answer changes.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO problems VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET question = excluded.question,"
                " gold = excluded.gold, benchmark = excluded.benchmark, subject = excluded.subject,"
                " level = excluded.level WHERE excluded.gold <> ''",
                (problem.id, problem.question, problem.answer, problem.benchmark, problem.subject, problem.level),
            )
            chains = list(chains)
            # A chain with another text under the same key is another chain: the old one's weights are deleted.
            for table in ("weights", "scores") if self._has_scores() else ("weights",):
                db.executemany(
                    f"DELETE FROM {table} WHERE chain_id IN (SELECT id FROM chains WHERE model = ? AND model_key = ?"
                    " AND sampling = ? AND problem_id = ? AND number = ? AND text <> ?)",
                    [(model, model_key, sampling, problem.id, chain.index, chain.text) for chain in chains],
                )
            db.executemany(
                "INSERT INTO chains (model, model_key, sampling, problem_id, number, text, answer, finish, offsets,"
                " logprobs, answer_class, correct, created) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET text = excluded.text, answer = excluded.answer, finish = excluded.finish,"
                " offsets = excluded.offsets, logprobs = excluded.logprobs, answer_class = excluded.answer_class,"
                " correct = CASE WHEN text = excluded.text AND answer IS excluded.answer"
                " THEN COALESCE(excluded.correct, correct) ELSE excluded.correct END, created = excluded.created",
                [
                    (
                        model,
                        model_key,
                        sampling,
                        problem.id,
                        chain.index,
                        chain.text,
                        chain.answer,
                        chain.finish.value,
                        array("i", chain.offsets).tobytes(),
                        array("f", chain.logprobs).tobytes(),
                        chain.answer_class,
                        None if chain.correct is None else int(chain.correct),
                        time.time(),
                    )
                    for chain in chains
                ],
            )

    def put_scores(
        self,
        problem_id: str,
        scores: Mapping[int, Score | None],
        *,
        ranker: str,
        model: str,
        model_key: str,
        sampling: str,
    ) -> None:
        """Store a ranker's scores of a problem's chains, by chain index; None for a chain that it could not score."""
        tables: dict[str, list[tuple[int, tuple[float | None, ...]]]] = {
            "weights": [(index, (score.weight if score else None,)) for index, score in scores.items()]
        }
        if not scores:
            return
        more = [(i, (s.probability, s.likelihood)) for i, s in scores.items() if s and s != Score(s.weight)]
        if more:
            tables["scores"] = [*more]
        with self._db.transaction() as db:
            if "scores" in tables:
                db.execute(SCORES)
            for table, rows in tables.items():
                marks = ", ?" * len(rows[0][1])
                db.executemany(
                    f"INSERT OR REPLACE INTO {table} SELECT id, ?{marks} FROM chains WHERE model = ? AND model_key = ?"
                    " AND sampling = ? AND problem_id = ? AND number = ?",
                    [(ranker, *values, model, model_key, sampling, problem_id, index) for index, values in rows],
                )

    def _has_scores(self) -> bool:
        """Whether the file has the table `scores`."""
        return bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'scores'").fetchone())

    def _join_scores(self, ranker: str | None) -> tuple[str, str]:
        """The columns probability and likelihood, and the join that provides them."""
        if ranker is None or not self._has_scores():
            return "NULL, NULL", ""
        return "s.probability, s.likelihood", " LEFT JOIN scores s ON s.chain_id = c.id AND s.ranker = w.ranker"

    def get(
        self, problem_id: str, *, model: str, model_key: str, sampling: str, ranker: str | None = None
    ) -> list[Chain]:
        """Read a problem's chains in the order of their index, with the weights that a ranker gave them."""
        columns, join = self._join_scores(ranker)
        rows = self._db.execute(
            "SELECT c.number, c.text, c.answer, c.finish, c.offsets, c.logprobs, c.answer_class, c.correct, w.weight,"
            f" {columns} FROM chains c LEFT JOIN weights w ON w.chain_id = c.id AND w.ranker IS ?{join}"
            " WHERE c.model = ? AND c.model_key = ? AND c.sampling = ? AND c.problem_id = ? ORDER BY c.number",
            (ranker, model, model_key, sampling, problem_id),
        )
        try:
            return [
                Chain(
                    problem_id,
                    row[0],
                    row[1],
                    row[2],
                    Finish(row[3]),
                    _ints(row[4]),
                    _floats(row[5]),
                    row[6],
                    None if row[7] is None else bool(row[7]),
                    *(None if value is None else float(value) for value in row[8:]),
                )
                for row in rows
            ]
        except (ValueError, TypeError) as error:  # a value that no version of NSAD writes
            raise database_error(self._db.path, "chain store", error) from error

    def get_if_complete(
        self,
        problem_id: str,
        indices: Sequence[int],
        *,
        model: str,
        model_key: str,
        sampling: str,
        ranker: str | None = None,
    ) -> list[Chain]:
        """Read a problem's chains with these indices if all of them are stored, else none; see `get`."""
        found = self.get(problem_id, model=model, model_key=model_key, sampling=sampling, ranker=ranker)
        chains = [chain for chain in found if chain.index in indices]
        return chains if len(chains) == len(indices) else []

    def sets(self) -> list[tuple[str, str, str, int, int]]:
        """List the sets: model, model key, sampling, number of problems and of chains; the latest set last."""
        # Ordered by id, not by `created`: an index covers the whole query, so that no chain's text is read.
        rows = self._db.execute(
            "SELECT model, model_key, sampling, COUNT(DISTINCT problem_id), COUNT(*) FROM chains"
            " GROUP BY 1, 2, 3 ORDER BY MAX(id)"
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def counts(self, *, model: str, model_key: str, sampling: str) -> dict[str, int]:
        """Count the chains of a set, by problem id."""
        rows = self._db.execute(
            "SELECT problem_id, COUNT(*) FROM chains WHERE model = ? AND model_key = ? AND sampling = ? GROUP BY 1",
            (model, model_key, sampling),
        )
        return {row[0]: row[1] for row in rows}

    def has_greedy_chains(self, *, model: str, model_key: str, sampling: str) -> bool:
        """Whether the chains of a set are greedy ones, whose index is below 0."""
        row = self._db.execute(
            "SELECT MAX(number) FROM chains WHERE model = ? AND model_key = ? AND sampling = ?",
            (model, model_key, sampling),
        ).fetchone()
        return row[0] is not None and row[0] < 0

    def problems(self, *, model: str, model_key: str, sampling: str) -> list[Problem]:
        """List the problems of a set, in the order in which their first chains were stored."""
        rows = self._db.execute(
            "SELECT p.id, p.question, p.gold, p.benchmark, p.subject, p.level FROM problems p JOIN chains c"
            " ON c.problem_id = p.id WHERE c.model = ? AND c.model_key = ? AND c.sampling = ?"
            " GROUP BY p.id ORDER BY MIN(c.id)",
            (model, model_key, sampling),
        )
        return [Problem(row[0], row[1], row[2], row[3], subject=row[4], level=row[5]) for row in rows]

    def rows_without_text(
        self, *, model: str, model_key: str, sampling: str, ranker: str | None = None
    ) -> Iterator[ChainRow]:
        """Iterate over the chains of a set by problem and index, without their text, with a ranker's weights."""
        columns, join = self._join_scores(ranker)
        yield from self._db.execute(
            "SELECT c.problem_id, c.number, c.answer, c.answer_class, c.correct, c.logprobs, w.weight,"
            f" {columns} FROM chains c LEFT JOIN weights w ON w.chain_id = c.id AND w.ranker IS ?{join}"
            " WHERE c.model = ? AND c.model_key = ? AND c.sampling = ? ORDER BY c.problem_id, c.number",
            (ranker, model, model_key, sampling),
        )

    def problems_containing(self, text: str, *, model: str, model_key: str, sampling: str) -> set[str]:
        """Find the ids of a set's problems whose question or chains contain a text; the case of a–z is ignored."""
        pattern = like_pattern(text)
        rows = self._db.execute(
            "SELECT DISTINCT c.problem_id FROM chains c JOIN problems p ON p.id = c.problem_id"
            " WHERE c.model = ? AND c.model_key = ? AND c.sampling = ?"
            " AND (c.text LIKE ? ESCAPE '\\' OR p.question LIKE ? ESCAPE '\\')",
            (model, model_key, sampling, pattern, pattern),
        )
        return {row[0] for row in rows}

    def rankers_of(self, *, model: str, model_key: str, sampling: str) -> list[str]:
        """List the rankers that have scored chains of a set, the latest last."""
        rows = self._db.execute(
            "SELECT w.ranker FROM chains c JOIN weights w ON w.chain_id = c.id"
            " WHERE c.model = ? AND c.model_key = ? AND c.sampling = ? GROUP BY 1 ORDER BY MAX(w.rowid)",
            (model, model_key, sampling),
        )
        return [row[0] for row in rows]

    def rankers(self) -> Sequence[str]:
        """List the rankers that have scored any chains, the latest last."""
        return [row[0] for row in self._db.execute("SELECT ranker FROM weights GROUP BY 1 ORDER BY MAX(rowid)")]


def _ints(blob: bytes) -> tuple[int, ...]:
    values = array("i")
    values.frombytes(blob)
    return tuple(values)


def _floats(blob: bytes) -> tuple[float, ...]:
    values = array("f")
    values.frombytes(blob)
    return tuple(values)
