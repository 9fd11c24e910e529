"""The store by the page says what the whole store says, of any draws, verdicts and reviews."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.errors import NsadError
from nsad_cli.store.pages import MAX_QUESTION_LENGTH, UNGRADED, ProblemQuery, StorePages
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.types import Draw, Grade, Problem, Verdict

SAID = st.none() | st.sampled_from(list(Verdict))
DRAWN = st.tuples(SAID, st.sampled_from(["unseen", None, *Verdict]), st.sampled_from(["k", "k2"]))
"""The grader's verdict, a person's (None: skipped), the parameters."""


@settings(max_examples=40)
@given(st.lists(st.lists(DRAWN, max_size=4), min_size=1, max_size=5), st.sampled_from([None, "k", "k2"]))
def test_counts_and_filters_are_those_of_the_draws(drawn: list[list[tuple[Any, ...]]], params: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        expected: list[list[str]] = []
        with Store(path) as store:
            store.add_problems(Problem(f"p{i}", f"What is {i}?", str(i), "b") for i in range(len(drawn)))
            for i, draws in enumerate(drawn):
                expected.append([])
                for n, (graded, said, key) in enumerate(draws):
                    store.add_draws([Draw(f"p{i}", "teacher", n, f"text {n}")], key)
                    number = store.draw_keys("teacher", key)[f"p{i}", n]
                    if graded is not None:
                        store.verdicts.record([(number, Grade(graded, "9", "why"))], "1")
                    if said != "unseen":
                        store.reviews.record(number, said, ReviewSource.SAMPLE)
                    if params in (None, key):
                        expected[i].append((said if isinstance(said, Verdict) else None) or graded or UNGRADED)
        with StorePages(path) as pages:
            numbers = pages.find(ProblemQuery(params=params))
            rows = list(pages.pages(numbers, params))
            assert [row.id for row in rows] == [f"p{i}" for i in range(len(drawn))]
            assert [(row.draws, row.right, row.wrong) for row in rows] == [
                (len(said), said.count(Verdict.CORRECT), said.count(Verdict.WRONG)) for said in expected
            ]
            for i, row in enumerate(rows):
                assert [draw.verdict for draw in pages.draws_of(row.id, params)] == expected[i]
            for verdict in (*Verdict, UNGRADED):
                found = pages.pages(pages.find(ProblemQuery(verdict=verdict, params=params)))
                assert [row.id for row in found] == [f"p{i}" for i, said in enumerate(expected) if verdict in said]


def test_words_are_searched_as_they_are(tmp_path: Path) -> None:
    questions = ["Half of 100% is?", "A_b and c", "Axb and C", "a\\b", ""]
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(Problem(f"p{i}", q, f"gold{i}", "b", subject="s" * (i % 2)) for i, q in enumerate(questions))
    with StorePages(tmp_path / "store.sqlite") as pages:

        def ids(words: str, subject: str | None = None) -> list[int]:
            return [int(row.id[1:]) for row in pages.pages(pages.find(ProblemQuery(words, subject)))]

        assert ids("") == ids("   ") == [0, 1, 2, 3, 4]
        assert ids("%") == [0]
        assert ids("_") == [1]
        assert ids("\\") == [3]
        assert ids("'") == []
        assert ids("AND c") == [1, 2]
        assert ids("c gold2") == [2]
        assert ids("gold", "s") == [1, 3]
        assert ids("", "") == [0, 2, 4]
        assert pages.subjects() == ["", "s"]


def test_what_has_gone_is_missing_not_wrong(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with pytest.raises(NsadError, match="cannot use the store"):
        StorePages(path)
    assert not path.exists()
    with Store(path) as store:
        store.add_problems([Problem("p0", "x" * 10_000, "1", "b")])
        with StorePages(path) as pages:
            before = pages.version()
            assert pages.version() == before
            store.add_problems([Problem("p1", "y", "2", "b")])
            assert pages.version() != before
            (first, gone, second) = pages.page([1, 77, 2])
            assert first
            assert second
            assert gone is None
            assert len(first.question) == MAX_QUESTION_LENGTH
            assert second.id == "p1"
            assert pages.problem("p7") is None
            assert pages.text(7) == ""
            assert pages.draws_of("p7") == []
