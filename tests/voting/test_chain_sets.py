"""A chain store looked over: sets, rankers, votes in short, search, problems by number and id."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Problem
from nsad_cli.voting.chain_sets import chain_sets, default_set, find_problem, iter_results, open_store
from nsad_cli.voting.problem_filters import DEFAULT_RULES, problem_result
from tests.helpers.vote_run import FIRST, GREEDY, PROBLEMS, SAMPLED, SECOND, chains_of, make_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_run(tmp_path) / "chains.sqlite"


def test_sets_rankers_and_defaults(path: Path) -> None:
    with open_store(path) as store:
        sets = chain_sets(store)
    by_model = {item.model: item for item in sets}
    assert by_model["base"].key == GREEDY
    assert not by_model["base"].has_votes
    assert by_model["base"].ranker is None
    assert by_model["nce"].key == SAMPLED
    assert by_model["nce"].rankers == (FIRST, SECOND)
    assert default_set(sets) == by_model["nce"]
    assert by_model["nce"].ranker == SECOND
    assert default_set(sets[::-1]) == by_model["nce"], "a vote goes before what is newer and has none"
    assert default_set([by_model["base"]]) == by_model["base"]
    assert default_set([]) is None
    assert by_model["nce"].title == "nce · 5 problems · 3 to 5 chains each · 4e0c/5a3d"
    one = dataclasses.replace(by_model["base"], greedy=False, problems=1)
    assert one.title == "base · 1 problem · 1 chain each · ba5e/9eed"
    assert by_model["base"].title == "base · 5 problems · greedy · ba5e/9eed"


@pytest.mark.parametrize("ranker", [None, FIRST, SECOND])
def test_every_problem_is_voted_on_as_if_alone(path: Path, ranker: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.voting.chain_sets.BATCH_SIZE", 2)
    with open_store(path) as store:
        chosen = default_set(chain_sets(store))
        assert chosen is not None
        parts = list(iter_results(store, chosen, ranker, DEFAULT_RULES))
        assert [len(part) for part in parts] == [2, 2, 1]
        found = {key: value for part in parts for key, value in part.items()}
        for problem in PROBLEMS.values():
            expected = problem_result(problem.id, store.get(problem.id, ranker=ranker, **SAMPLED), DEFAULT_RULES)
            one = found[problem.id]
            assert (one.chains, one.any_right, one.winners.keys()) == (
                expected.chains,
                expected.any_right,
                expected.winners.keys(),
            )
            for rule, won in one.winners.items():
                margin = expected.winners[rule].margin
                assert won == dataclasses.replace(expected.winners[rule], margin=won.margin)
                assert won.margin == (None if margin is None else pytest.approx(margin))


def test_an_empty_set(path: Path) -> None:
    with open_store(path) as store:
        gone = dataclasses.replace(chain_sets(store)[0], sampling="gone")
        assert list(iter_results(store, gone, None, DEFAULT_RULES)) == [{}]


def test_a_text_is_found_in_questions_and_chains(path: Path) -> None:
    with open_store(path) as store:
        found = {name: problem.id for name, problem in PROBLEMS.items()}
        assert store.problems_containing("DOZEN", **SAMPLED) == {found["lost"]}
        assert store.problems_containing("answer is 24", **SAMPLED) == {found["lost"]}
        assert not store.problems_containing("is 24", **GREEDY)
        assert store.problems_containing("\\frac", **SAMPLED) == set(found.values())
        for wild in ("%", "_", "100%", "\\%"):
            assert store.problems_containing(wild, **SAMPLED) == set(), wild


def test_a_problem_by_its_number_or_its_id() -> None:
    problems = [Problem(key, "", "", "made") for key in ("1234567890abcdef", "12345fffffffffff", "abcdef0000000000")]

    def found(wanted: str) -> list[int]:
        return [problems.index(problem) for problem in find_problem(problems, wanted)]

    assert [found("1"), found("3"), found("-1"), found("-3")] == [[0], [2], [2], [0]]
    assert [found("0"), found("4"), found("-4"), found(""), found("xyz")] == [[]] * 5
    assert found("123456") == [0]
    assert found("12345f") == [1]
    assert found("ABC") == [2]
    assert found("a") == [2]
    assert found("1234567890abcdef") == [0]
    assert find_problem([*problems, Problem("abcfff", "", "", "made")], "abc")[1].id == "abcfff"


def test_a_store_that_is_damaged_further_in(path: Path) -> None:
    with ChainStore(path) as store:
        for number in range(200):
            store.put(Problem(f"{number:016x}", "?", "12", "made"), chains_of("sure"), **SAMPLED)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 :] = b"\xff" * (len(raw) - len(raw) // 2)
    path.write_bytes(bytes(raw))
    for name in path.parent.glob("chains.sqlite-*"):
        name.unlink()

    def read_all() -> None:
        with open_store(path) as store:
            chosen = default_set(chain_sets(store))
            assert chosen is not None
            list(iter_results(store, chosen, SECOND, DEFAULT_RULES))

    with pytest.raises(NsadError, match="chain store"):
        read_all()
