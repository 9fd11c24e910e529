"""Solving with an engine that says what the test gives it: waves, early stops, what is kept, what is done without."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import UsageError
from nsad_cli.generation.cached_sampler import CachedSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.sampling import Subject, sample_all, sampling_key
from nsad_cli.inference.solver import Solver, VoteSettings
from nsad_cli.problems.question_files import make_problem
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish, Problem, Score
from nsad_cli.voting.rules import vote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PROBLEMS = [make_problem("What is 3 + 4?"), make_problem("What is 1 + 1?", "2")]
KEY = {"model": "nce", "model_key": "k", "sampling": "s"}


class Engine:
    """Says, for each problem in turn, the answers given, chain by chain; remembers what it was asked for."""

    def __init__(self, **answers: Sequence[str | None]) -> None:
        self.answers = dict(zip([problem.id for problem in PROBLEMS], answers.values(), strict=False))
        self.calls: list[list[Task]] = []
        self.fail_after: int | None = None
        self.plans_batches = True

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,  # noqa: ARG002  # see Sampler
        *,
        seed: str,  # noqa: ARG002
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        self.calls.append(list(tasks))
        for task in tasks:
            for index in task.indices:
                if self.fail_after is not None:
                    if self.fail_after == 0:
                        raise KeyboardInterrupt
                    self.fail_after -= 1
                answer = self.answers[task.problem_id][index]
                text = "nothing" if answer is None else f"The answer is {answer}."
                on_tokens(2)
                yield Chain(task.problem_id, index, text, None, Finish.STOP, (1, len(text)), (-0.5, -0.5))


class Lengths:
    """A ranker that goes by the answer's value, and cannot score a chain that says nothing."""

    name = "lengths"
    refused: str | None = None

    def __init__(self) -> None:
        self.scored = 0

    def score(self, _problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        self.scored += len(chains)
        return [None if chain.answer is None else Score(float(chain.answer) / 10) for chain in chains]


@pytest.fixture
def checker() -> Iterator[Checker]:
    with Checker() as found:
        yield found


def solver(engine: object, checker: Checker, ask: VoteSettings, ranker: Lengths | None = None) -> Solver:
    return Solver(engine, Sampling(), ranker, checker, ask, seed="0")  # type: ignore[arg-type]


def test_all_chains_vote_at_once_without_a_threshold(checker: Checker) -> None:
    engine = Engine(a=["7", "7.0", "8", None], b=["2", "2", "2", "3"])
    found = {s.problem.id: s for s in solver(engine, checker, VoteSettings(4, "sc")).solve(PROBLEMS)}
    assert len(engine.calls) == 1
    assert all(task.indices == (0, 1, 2, 3) for task in engine.calls[0])
    first, second = (found[problem.id] for problem in PROBLEMS)
    assert first.ballot.answer == "7"
    assert [vote.count for vote in first.ballot.votes] == [2, 1]
    assert [chain.correct for chain in first.chains] == [None] * 4, "no gold answer is known"
    assert [chain.correct for chain in second.chains] == [True, True, True, False]
    assert second.sure is None


def test_it_stops_as_soon_as_it_is_sure(checker: Checker) -> None:
    engine = Engine(a=["7"] * 16, b=["2", "3"] * 8)
    found = {s.problem.id: s for s in solver(engine, checker, VoteSettings(16, "sc", 0.95, 2)).solve(PROBLEMS)}
    first, second = (found[problem.id] for problem in PROBLEMS)
    assert len(first.chains) == 4
    assert first.sure == pytest.approx(31 / 32)
    assert len(second.chains) == 16
    assert second.sure == pytest.approx(0.5), "it never came near"
    assert [len(call) for call in engine.calls] == [2, 2, 1, 1, 1, 1, 1, 1], "the second alone goes on"
    assert [task.indices for call in engine.calls for task in call[-1:]] == [(i, i + 1) for i in range(0, 16, 2)]


def test_a_last_wave_may_be_shorter(checker: Checker) -> None:
    (found,) = solver(Engine(a=["7", "8", "7", "8", "7"]), checker, VoteSettings(5, "sc", 0.95, 3)).solve(PROBLEMS[:1])
    assert len(found.chains) == 5


def test_weights_stop_a_vote_too(checker: Checker) -> None:
    ranker = Lengths()
    (found,) = solver(Engine(a=["7"] * 8), checker, VoteSettings(8, "asc", 0.95, 2), ranker).solve(PROBLEMS[:1])
    # The rival's chain of the prior weighs 1, and outlasts each of seven of 0.7 with the chance 1 / 1.7.
    assert len(found.chains) == 6
    assert found.sure == pytest.approx(1 - 1 / 1.7**7)
    assert ranker.scored == 6
    assert found.ballot.rule == "asc"
    assert found.ballot.votes[0].weight == pytest.approx(4.2)
    with pytest.raises(UsageError, match="best"):
        solver(Engine(), checker, VoteSettings(8, "best", 0.95, 2), ranker)


CUT_OFF = [
    ("Tom has 27 - 7 = 2", None),
    ("The answer is 2. Let me check: 27 - 7 = 20 and 20 -", "2"),
    ("So it is $\\boxed{2}$ and", "2"),
    ("#### 2\nNext question: 5 + ", "2"),
    ("", None),
]


@pytest.mark.parametrize(("text", "answer"), CUT_OFF)
@pytest.mark.parametrize("stored", [False, True])
def test_the_last_number_of_a_chain_that_was_cut_off_is_no_answer(
    text: str, answer: str | None, stored: bool, checker: Checker
) -> None:
    """Nor is it where an earlier version has stored it as one, and as right."""
    cut = Chain("p", 0, text, "2" if stored else None, Finish.LENGTH, correct=True if stored else None)
    (done,) = grade_chains([cut], "2", checker)
    assert (done.answer, done.answer_class, done.correct) == (answer, 0 if answer else None, answer is not None)
    whole = dataclasses.replace(cut, answer=None, finish=Finish.STOP)
    assert grade_chains([whole], "2", checker)[0].answer == ("2" if text.strip() else None)
    if answer is None:
        assert vote([done], "sc").answer is None


def test_cut_off_chains_of_an_earlier_version_are_judged_anew(checker: Checker, tmp_path: Path) -> None:
    """By `eval`, `solve` and what NCE and rankers learn from alike."""
    engine, problem = Engine(), PROBLEMS[1]
    chains = [Chain(problem.id, i, "1 + 1 = 2", "2", Finish.LENGTH, (), (), 0, True) for i in range(2)]
    with ChainStore(tmp_path / "chains.sqlite") as store:
        key = {**KEY, "sampling": sampling_key(Sampling(), 0)}
        store.put(problem, chains, **key)
        subject = Subject("nce", "k", engine)
        found = sample_all(subject, [problem], Sampling(), 2, False, 0, store, checker, lambda *_: None)
        assert [(chain.answer, chain.correct) for chain in found[problem.id][1]] == [(None, False)] * 2
        assert store.get(problem.id, **key) == found[problem.id][1]
        assert not engine.calls
        store.put(problem, chains, **key)
        kept = CachedSampler(engine, store, key, [problem])
        (solution,) = solver(kept, checker, VoteSettings(2, "sc")).solve([dataclasses.replace(problem, answer="")])
        assert solution.ballot.answer is None
        assert not engine.calls


def test_what_is_lacking_is_said(checker: Checker) -> None:
    without = solver(Engine(a=["7", "7", "8"]), checker, VoteSettings(3, "asc"))
    (found,) = without.solve(PROBLEMS[:1])
    assert found.ballot.rule == "sc"
    assert found.ballot.answer == "7"
    assert "no ranker" in found.notes[0]
    assert without.notes == found.notes
    (silent,) = solver(Engine(a=[None, None]), checker, VoteSettings(2, "asc"), Lengths()).solve(PROBLEMS[:1])
    assert silent.ballot.answer is None
    assert silent.ballot.rule == "sc", "no chain could be scored"


def test_a_vote_that_cannot_be_held_names_its_problem(checker: Checker) -> None:
    class Bare(Engine):
        """Tells no log-probabilities of the second problem."""

        def sample(self, tasks: Sequence[Task], *rest: object, **more: object) -> Iterator[Chain]:
            for chain in super().sample(tasks, *rest, **more):  # type: ignore[arg-type]
                bare = chain.problem_id == PROBLEMS[1].id
                yield dataclasses.replace(chain, logprobs=(), offsets=()) if bare else chain

    with pytest.raises(UsageError, match="log-probabilities") as raised:
        list(solver(Bare(a=["7", "8"], b=["2", "2"]), checker, VoteSettings(2, "wsc")).solve(PROBLEMS))
    assert "`What is 1 + 1?`" in raised.value.why
    (found,) = solver(Bare(a=["7"], b=[None]), checker, VoteSettings(1, "wsc")).solve(PROBLEMS[1:])
    assert found.ballot.answer is None


def test_watching_sees_every_chain_scored_once(checker: Checker) -> None:
    seen: list[list[Chain]] = []
    ranker, tokens = Lengths(), [0]

    def count(new: int) -> None:
        tokens[0] += new

    watched = solver(Engine(a=["7", "8", "7.0"]), checker, VoteSettings(3, "asc"), ranker)
    (found,) = watched.solve(PROBLEMS[:1], lambda _, chains: seen.append(list(chains)), count)
    assert [len(chains) for chains in seen] == [1, 2, 3]
    assert ranker.scored == 3
    assert tokens == [6]
    assert seen[-1] == list(found.chains)
    assert [c.answer_class for c in seen[-1]] == [0, 1, 0]
    (plain,) = solver(Engine(a=["7", "8", "7.0"]), checker, VoteSettings(3, "asc"), Lengths()).solve(PROBLEMS[:1])
    assert plain == found, "watching changes nothing"


def test_kept_chains_are_not_sampled_again(checker: Checker, tmp_path: Path) -> None:
    engine = Engine(a=["7"] * 4, b=["2", "2", "3", "2"])
    with ChainStore(tmp_path / "chains.sqlite") as store:
        engine.fail_after = 6  # in the middle of the second problem
        kept = CachedSampler(engine, store, KEY, PROBLEMS, "lengths")
        with pytest.raises(KeyboardInterrupt):
            list(solver(kept, checker, VoteSettings(4, "asc"), Lengths()).solve(PROBLEMS))
        assert len(store.get(PROBLEMS[0].id, **KEY)) == 4
        assert len(store.get(PROBLEMS[1].id, **KEY)) == 2
        engine.fail_after = None
        found = {s.problem.id: s for s in solver(kept, checker, VoteSettings(4, "asc"), Lengths()).solve(PROBLEMS)}
        assert [task.cached for task in engine.calls[-1]] == [True, False], "it holds its place in the batch"
        assert found[PROBLEMS[1].id].ballot.answer == "2"
        fresh = {s.problem.id: s for s in solver(Engine(**dict(zip("ab", engine.answers.values(), strict=True))),
                 checker, VoteSettings(4, "asc"), Lengths()).solve(PROBLEMS)}  # fmt: skip
        assert found == fresh, "an interrupted list ends as another one does"
        calls = len(engine.calls)
        for solution in found.values():
            store.put(solution.problem, solution.chains, **KEY)
            weights = {chain.index: chain.score for chain in solution.chains}
            store.put_scores(solution.problem.id, weights, ranker="lengths", **KEY)
        ranker = Lengths()
        again = {s.problem.id: s for s in solver(kept, checker, VoteSettings(4, "asc"), ranker).solve(PROBLEMS)}
        assert again == found
        assert len(engine.calls) == calls
        assert ranker.scored == 0


def test_an_engine_without_batches_is_asked_for_what_is_missing_alone(checker: Checker, tmp_path: Path) -> None:
    engine = Engine(a=["7"] * 8, b=["2", "3"] * 4)
    engine.plans_batches = False
    with ChainStore(tmp_path / "chains.sqlite") as store:
        kept = CachedSampler(engine, store, KEY, PROBLEMS)
        list(solver(kept, checker, VoteSettings(4, "sc")).solve(PROBLEMS[:1]))
        engine.fail_after = 5  # the first problem's last four, and one of the second's
        with pytest.raises(KeyboardInterrupt):
            list(solver(kept, checker, VoteSettings(8, "sc")).solve(PROBLEMS))
        engine.fail_after = None
        found = {s.problem.id: s for s in solver(kept, checker, VoteSettings(8, "sc")).solve(PROBLEMS)}
        make_problem = [[task.indices for task in call if not task.cached] for call in engine.calls]
        assert make_problem == [[(0, 1, 2, 3)], [(4, 5, 6, 7), tuple(range(8))], [tuple(range(1, 8))]]
        fresh = Engine(a=["7"] * 8, b=["2", "3"] * 4)
        assert found == {s.problem.id: s for s in solver(fresh, checker, VoteSettings(8, "sc")).solve(PROBLEMS)}


@pytest.mark.parametrize("plans", [True, False])
def test_measuring_keeps_every_chain_as_it_arrives(plans: bool, checker: Checker, tmp_path: Path) -> None:
    """What is measured after a stop is what would have been."""
    engine, told = Engine(a=["7"] * 4, b=["2", "3", "2", "2"]), []
    engine.plans_batches, engine.fail_after = plans, 6

    def measured(path: Path) -> dict[str, tuple[list[Chain], list[Chain]]]:
        with ChainStore(path) as store:
            subject = Subject("nce", "k", engine)
            return sample_all(subject, PROBLEMS, Sampling(), 4, False, 0, store, checker, lambda *now: told.append(now))

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "chains.sqlite")
    engine.fail_after = None
    found = measured(tmp_path / "chains.sqlite")
    make_problem = [task.indices for task in engine.calls[-1] if not task.cached]
    assert make_problem == ([(0, 1, 2, 3)] if plans else [(2, 3)])
    assert told[-1][:2] == (8, 8)
    calls = len(engine.calls)
    assert measured(tmp_path / "chains.sqlite") == found
    assert len(engine.calls) == calls
    assert told[-1][:2] == (8, 8)
    assert measured(tmp_path / "other.sqlite") == found
    assert [chain.correct for chain in found[PROBLEMS[1].id][1]] == [True, False, True, True]


def test_a_stop_is_resumed_to_the_same_stop(checker: Checker, tmp_path: Path) -> None:
    engine = Engine(a=["7"] * 8, b=["2", "3"] * 4)
    with ChainStore(tmp_path / "chains.sqlite") as store:
        kept, ask = CachedSampler(engine, store, KEY, PROBLEMS), VoteSettings(8, "sc", 0.95, 4)
        first = list(solver(kept, checker, ask).solve(PROBLEMS))
        calls = len(engine.calls)
        assert list(solver(kept, checker, ask).solve(PROBLEMS)) == first
        assert len(engine.calls) == calls
        (more,) = solver(kept, checker, dataclasses.replace(ask, stop_at=0.99)).solve(PROBLEMS[:1])
        assert len(more.chains) == 8
        assert engine.calls[-1][0].indices == (4, 5, 6, 7), "only what is new is drawn"
