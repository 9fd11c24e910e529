"""What is compared of two runs' stores: by which ranker, over how many chains, of which engine; what is left out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy
import pytest
from safetensors.numpy import save_file

from nsad_cli.config.engine_spec import EngineSpec, parse_engine
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.compare import compare
from nsad_cli.evaluation.contributions import Step, contributions
from nsad_cli.evaluation.measure import unseen_problems
from nsad_cli.evaluation.stored_chains import Side, stored_chains
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.current_ranker import current_ranker
from nsad_cli.inference.sampling import Subject, greedy, sampling_key, score_all
from nsad_cli.problems.question_files import make_problem
from nsad_cli.rankers.metadata import HEAD_FILE, METADATA_KEY, ranker_name
from nsad_cli.runs.models import model_key
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish, Problem, Score
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROBLEMS = [make_problem(f"What is {i} + 1?", str(i + 1)) for i in range(3)]
HF = EngineSpec()
SERVER = EngineSpec("server", "m")


@pytest.fixture
def checker() -> Iterator[Checker]:
    with Checker() as found:
        yield found


def trained(name: str, *, reads: str | None = None, kind: str = "probe") -> Run:
    """A run with an NCE student (its weights' digest is abc) and, where it `reads` something, a ranker."""
    run = Run.create(name, validate_recipe({"student": {"model": "tiny"}}, "test"))
    with run.stage("nce", "key") as result:
        result["weights"] = "abc"
    if reads is not None:
        teach(run, reads, kind)
    return run


def teach(run: Run, reads: str, kind: str = "probe", bias: float = 0.0) -> str:
    """Give a run a ranker; its name."""
    folder = run.adapter_path("ranker")
    folder.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"kind": kind, "reads": reads})
    save_file({"bias": numpy.array([bias])}, folder / HEAD_FILE, metadata={METADATA_KEY: about})
    with run.stage("ranker", "key"):
        pass
    return ranker_name(folder)


def key_of(run: Run, model: str = "nce", engine: EngineSpec = HF, *, sampled: bool = True) -> dict[str, str]:
    sampling, recipe = Sampling.of(run.recipe.sampling), run.recipe
    how = sampling_key(sampling if sampled else greedy(sampling), recipe.seed)
    return {"model": model, "model_key": engine.key(model_key(run, recipe, model)), "sampling": how}


def measure(
    run: Run,
    samples: Sequence[int],
    rankers: Sequence[str] = (),
    *,
    model: str = "nce",
    engine: EngineSpec = HF,
    scored: int | None = None,
) -> None:
    """Keep a greedy chain and so many sampled ones of each problem; the first `scored` problems get every ranker's
    scores: from one to the next, the first chain's is the higher or the lower one."""
    with ChainStore(run.chains_path) as store:
        for place, (problem, count) in enumerate(zip(PROBLEMS, samples, strict=False)):
            right, wrong = problem.answer, "77"
            store.put(problem, [said(problem, -1, right)], **key_of(run, model, engine, sampled=False))
            chains = [said(problem, i, right if i == 0 else wrong) for i in range(count)]
            store.put(problem, chains, **key_of(run, model, engine))
            for turn, ranker in enumerate(rankers if scored is None or place < scored else ()):
                weights = {c.index: Score(0.9 if (c.index == 0) == (turn % 2 == 1) else 0.1) for c in chains}
                store.put_scores(problem.id, weights, ranker=ranker, **key_of(run, model, engine))


def said(problem: Problem, index: int, answer: str) -> Chain:
    return Chain(problem.id, index, f"The answer is {answer}.", None, Finish.STOP, (1,), (-0.5,))


def rules(rows: Sequence[dict[str, object]]) -> set[object]:
    return {row["rule"] for row in rows}


def test_scores_are_those_of_the_runs_own_ranker(checker: Checker) -> None:
    a, b = trained("a", reads="abc"), trained("b", reads="abc")
    own = current_ranker(a)
    assert own is not None
    assert own.startswith("probe-")
    assert own == current_ranker(b)
    for run in (a, b):
        measure(run, [2, 2, 2], ["head-first", own, "head-last"])
    stored = stored_chains(Side(a, "nce", HF), PROBLEMS)
    assert [[chain.weight for chain in sampled] for _, sampled in stored.values()] == [[0.9, 0.1]] * 3
    rows, left = compare("b", PROBLEMS, (Side(a, "nce", HF), Side(b, "nce", HF)), None, checker, "")
    assert left == []
    (asc,) = [row for row in rows if row["rule"] == "asc"]
    assert (asc["n"], asc["a"], asc["b"], asc["samples"]) == (3, 1.0, 1.0, 2), "by either other ranker 77 wins"


def test_a_ranker_that_has_not_scored_all_gives_no_row_and_is_named(checker: Checker) -> None:
    a, b = trained("a", reads="abc"), trained("b", reads="abc")
    measure(a, [2, 2, 2], [str(current_ranker(a))])
    measure(b, [2, 2, 2], ["head-old"])
    sides = (Side(a, "nce", HF), Side(b, "nce", HF))
    name = teach(b, "abc", "head", bias=1.0)
    rows, (left,) = compare("bench", PROBLEMS, sides, None, checker, "--limit 3")
    assert rules(rows) == {None, "sc", "wsc", "any", "mean"}
    assert left["what"] == ["asc", "asc-add", "asc-add2", "best"]
    assert left["benchmark"] == "bench"
    assert f"{name} has scored 0 of 3 problems of b:nce" in left["why"]
    assert "`nsad eval --run b --model nce --limit 3 --samples 2`" in left["why"]
    measure(b, [2, 2, 2], [name], scored=2)
    rows, (left,) = compare("bench", PROBLEMS, sides, None, checker, "")
    assert "asc" not in rules(rows)
    assert f"{name} has scored 2 of 3 problems" in left["why"], "no vote by sc in its name"
    measure(b, [2, 2, 2], [name])
    rows, none = compare("bench", PROBLEMS, sides, None, checker, "")
    assert {"asc", "asc-add", "asc-add2", "best"} <= rules(rows)
    assert not none


def test_no_ranker_is_told_where_the_other_has_one(checker: Checker) -> None:
    a, b = trained("a", reads="abc"), trained("b", reads="another student")
    measure(a, [2, 2, 2], [str(current_ranker(a))])
    measure(a, [2, 2, 2], model="base")
    measure(b, [2, 2, 2], [ranker_name(b.adapter_path("ranker"))])
    assert current_ranker(b) is None, "a probe of states that the student no longer has"
    _, (left,) = compare("b", PROBLEMS, (Side(a, "nce", HF), Side(b, "nce", HF)), None, checker, "")
    assert left["why"] == "b has no ranker for its current student"
    _, (left,) = compare("b", PROBLEMS, (Side(a, "base", HF), Side(a, "nce", HF)), None, checker, "")
    assert left["why"] == "rankers do not score base"
    c, d = trained("c"), trained("d")
    measure(c, [2, 2, 2])
    measure(d, [2, 2, 2])
    rows, none = compare("b", PROBLEMS, (Side(c, "nce", HF), Side(d, "nce", HF)), None, checker, "")
    assert not none
    assert "sc" in rules(rows), "neither has one: nothing is missed"


def test_as_many_chains_vote_as_all_problems_have(checker: Checker) -> None:
    a, b = trained("a"), trained("b")
    measure(a, [4, 4, 8])  # the third one was solved besides
    measure(b, [4, 5, 4])
    sides = (Side(a, "nce", HF), Side(b, "nce", HF))
    rows, left = compare("b", PROBLEMS, sides, None, checker, "")
    (sc,) = [row for row in rows if row["rule"] == "sc"]
    assert (sc["samples"], sc["n"]) == (4, 3)
    assert not left
    assert {row["samples"] for row in compare("b", PROBLEMS, sides, 2, checker, "")[0]} == {1, 2}
    rows, (less,) = compare("b", PROBLEMS, sides, 8, checker, "")
    assert rules(rows) == {None}
    assert less["what"] == ["votes"]
    assert "4 chains are stored of both, not 8; --samples 4" in less["why"]
    measure(a, [4, 8, 8])
    measure(b, [4, 8, 8])
    rows, (less,) = compare("b", PROBLEMS, sides, 8, checker, "")
    assert next(row["n"] for row in rows if row["rule"] == "sc") == 2
    assert less["what"] == ["votes on 1 of 3 problems"]
    assert "4 to 8 chains" in less["why"]


def test_a_problem_that_was_only_asked_changes_no_comparison(checker: Checker) -> None:
    a, b = trained("a"), trained("b")
    extra = make_problem("What is 9 + 9?", "18")
    for run in (a, b):
        measure(run, [4, 4, 4])
        with ChainStore(run.chains_path) as store:
            store.put(extra, [said(extra, 0, "18")], **key_of(run))
    rows, _ = compare("b", [*PROBLEMS, extra], (Side(a, "nce", HF), Side(b, "nce", HF)), None, checker, "")
    assert {(row["n"], row["samples"]) for row in rows} == {(3, 1), (3, 4)}


def test_votes_that_one_side_lacks_are_told(checker: Checker) -> None:
    a, b = trained("a"), trained("b")
    measure(a, [3, 3, 3])
    measure(b, [0, 0, 0])
    sides = (Side(a, "nce", HF), Side(b, "nce", HF))
    rows, (left,) = compare("b", PROBLEMS, sides, None, checker, "")
    assert rules(rows) == {None}
    assert left["what"] == ["votes"]
    assert "b:nce" in left["why"]
    assert "`nsad eval --run b --model nce --samples 3`" in left["why"]
    assert compare("b", PROBLEMS, sides, 0, checker, "")[1] == [], "greedy answers alone were asked for"


def test_engines_are_told_apart(checker: Checker) -> None:
    a = trained("a")
    measure(a, [2, 2, 2])
    measure(a, [2, 2], engine=SERVER)
    served = Side(a, "nce", SERVER)
    assert served.name == "a:nce@server:m"
    assert Side(a, "nce", HF).name == "a:nce"
    assert served.engines() == ["hf", "server:m"]
    assert served.command(2) == "nsad eval --run a --model nce --engine server:m@URL --samples 2"
    rows, _ = compare("b", PROBLEMS, (Side(a, "nce", HF), served), None, checker, "")
    assert {row["n"] for row in rows} == {2}
    with ChainStore(a.chains_path) as store:
        bare = [dataclasses.replace(said(p, i, "1"), logprobs=()) for p in PROBLEMS[:2] for i in (0, 1)]
        for problem in PROBLEMS[:2]:
            store.put(problem, [c for c in bare if c.problem_id == problem.id], **key_of(a, engine=SERVER))
    rows, (left,) = compare("b", PROBLEMS, (Side(a, "nce", HF), served), None, checker, "")
    assert "wsc" not in rules(rows)
    assert left["what"] == ["wsc"]
    assert "a:nce@server:m" in left["why"]


def test_a_server_needs_no_url_where_nothing_is_sampled() -> None:
    assert parse_engine("server:m", reached=False) == SERVER
    assert parse_engine("server:m@http://x/v1", reached=False).key("k") == SERVER.key("k")
    for spec in ("", "serve", "server:m@nowhere"):
        with pytest.raises(UsageError):
            parse_engine(spec, reached=False)
    with pytest.raises(UsageError, match="unknown engine"):
        parse_engine("server:m")


def test_a_ranker_without_its_folder_is_told() -> None:
    run = trained("a", reads="abc")
    (run.adapter_path("ranker") / HEAD_FILE).unlink()
    with pytest.raises(NsadError, match="holds no ranker"):
        current_ranker(run)


def test_a_gap_ends_what_is_compared() -> None:
    run = trained("a")
    measure(run, [3])
    with ChainStore(run.chains_path) as store:
        store.put(PROBLEMS[0], [said(PROBLEMS[0], 4, "1")], **key_of(run))
    stored = stored_chains(Side(run, "nce", HF), PROBLEMS)
    assert [chain.index for chain in stored[PROBLEMS[0].id][1]] == [0, 1, 2]
    assert stored[PROBLEMS[1].id] == ([], [])


class Counting:
    """A ranker that counts what it is given."""

    name = "counting"
    refused: str | None = None

    def __init__(self) -> None:
        self.given: list[str] = []

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        self.given.append(problem.id)
        return [Score(0.25 + 0.5 * chain.index) for chain in chains]


def test_what_was_scored_is_not_scored_again(tmp_path: Path) -> None:
    subject, sampling, ranker = Subject("nce", "k", None), Sampling(), Counting()  # type: ignore[arg-type]
    key = {"model": "nce", "model_key": "k", "sampling": sampling_key(sampling, 0)}
    chains = {problem.id: [said(problem, i, "1") for i in (0, 1)] for problem in PROBLEMS}
    with ChainStore(tmp_path / "chains.sqlite") as store:
        for problem in PROBLEMS:
            store.put(problem, chains[problem.id], **key)
        first = score_all(subject, PROBLEMS[:2], chains, ranker, sampling, 0, store)
        assert ranker.given == [problem.id for problem in PROBLEMS[:2]]
        again = score_all(subject, PROBLEMS, chains, ranker, sampling, 0, store)
        assert ranker.given == [problem.id for problem in PROBLEMS], "only the third one was new"
        assert [chain.weight for chain in again[PROBLEMS[0].id]] == [0.25, 0.75]
        assert first.items() <= again.items()


def test_a_question_with_two_gold_answers_keeps_the_first_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [("1 + 1?", 2), ("1 + 2?", 3), ("1 + 1?", 3), ("1 + 2?", 3)]
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    notes = recorded_notes()
    problems = unseen_problems(f"jsonl@{path}", set(), None)
    assert [problem.answer for problem in problems] == ["2", "3"]
    assert len(notes) == 1
    assert ": dropped 1 problems that repeat" in notes[0]
    assert "another gold answer" in notes[0]


def test_a_comparison_loads_no_torch() -> None:
    check = (
        "import sys, nsad_cli.evaluation.compare, nsad_cli.cli.compare_models\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_each_step_is_tested_against_the_one_before_it(checker: Checker) -> None:
    """Greedy answers are right, two of three chains are wrong: counting loses all, and the ranker wins all back."""
    run = trained("steps", reads="abc")
    measure(run, [3, 3, 3], [str(current_ranker(run)), "another"])
    steps = [
        Step("base", "base", "greedy"),
        Step("NCE", "nce", "greedy"),
        Step("sc", "nce", "sc"),
        Step("asc", "nce", "asc"),
    ]
    rows = contributions(run, PROBLEMS, 3, checker, steps)
    assert [row["step"] for row in rows] == ["NCE", "sc", "asc"], "the base was not evaluated"
    assert "p" not in rows[0]
    assert [row["accuracy"] for row in rows] == [1.0, 0.0, 0.0]
    assert (rows[1]["won"], rows[1]["lost"], rows[1]["p"]) == (0, 3, 0.25)
    assert rows[1]["difference"] == -1.0
    assert rows[1]["before"] == 1.0
    measure(run, [3, 3, 3], ["another", str(current_ranker(run))])
    rows = contributions(run, PROBLEMS, 3, checker, steps)
    assert (rows[2]["won"], rows[2]["lost"], rows[2]["accuracy"]) == (3, 0, 1.0)
    assert rows[2]["ci95"][0] > 0
    assert contributions(run, PROBLEMS, 4, checker, steps[2:]) == [], "it has no four chains"
