"""Votes over chains from a JSON-lines file, in three formats; no model is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.extract import extract
from nsad_cli.rankers.steps import StepsRanker
from nsad_cli.types import Ballot, Chain, Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.logprobs import log_probability
from nsad_cli.utils.logs import line_note, note
from nsad_cli.voting.early_stopping import simulate_early_stop
from nsad_cli.voting.rules import (
    MAX_SCORE,
    RANKER_RULES,
    RULES,
    any_right,
    applicable_rule,
    chain_weights,
    name_problem_in_errors,
    vote,
    winner_is_right,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.grading.checker import Checker


def read_vote_file(path: Path) -> Iterator[tuple[Problem, list[Chain]]]:
    """Read problems with their chains.

    Lines that are corrupt or have no gold answer are skipped, with a note; so are invalid log-probabilities and
    scores. A repeated id is noted, and both lines count.

    The formats are recognised by their keys:

    - nsad: {"id", "gold", "chains": [{"text", "answer", "weight"?, "logprob"?}]};
    - scored predictions: {"question", "gt" or "answer", "pred", "pred_score", "score"?}, whose own verdicts in `score`
      are used;
    - texts only: {"question", "answer", "generated_answer"}, a text or a list of texts.

    Args:
        path: The file.

    Yields:
        (problem, chains) for each line.
    """
    lines: dict[str, int] = {}
    for number, row in read_jsonl(path):
        place = f"{path}:{number}"
        try:
            problem, chains, invalid = _read(row, number)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            line_note(path, f"{place}: not a problem with chains ({reason}); line skipped")
            continue
        if not problem.answer.strip():
            line_note(path, f"{place}: no gold answer to compare with; line skipped")
            continue
        if problem.id in lines:
            line_note(path, f"{place}: `{problem.id}` is on line {lines[problem.id]} too; both count")
        for what, count in invalid.items():
            line_note(path, f"{place}: {what} in {count} of its chains; ignored")
        lines.setdefault(problem.id, number)
        yield problem, chains


def scored_by_steps(problems: Sequence[tuple[Problem, list[Chain]]]) -> list[tuple[Problem, list[Chain]]]:
    """Replace the chains' scores by those of the ranker `steps`, which needs no model; see rankers.steps."""
    ranker = StepsRanker()
    return [
        (problem, [chain.scored(score) for chain, score in zip(chains, ranker.score(problem, chains), strict=True)])
        for problem, chains in problems
    ]


def vote_results(
    problems: Sequence[tuple[Problem, list[Chain]]],
    rule: str,
    checker: Checker,
    *,
    need_scores: bool = True,
) -> list[tuple[Problem, list[Chain], bool]]:
    """Vote on every problem; the rule `any` gives the upper bound.

    Problems without a chain that has the score that the rule needs are counted by `sc`, with a note.

    Args:
        problems: The problems with their chains.
        rule: The rule, or `any`.
        checker: The checker that grades the chains.
        need_scores: Whether chains without any score are an error; otherwise `sc` counts all problems.

    Returns:
        (problem, graded chains, whether the winner is right) for each problem.

    Raises:
        UsageError: A problem's votes cannot be counted (the error names it), or no chain at all has a score.
    """
    unscored = sum(applicable_rule(chains, rule) != rule for _, chains in problems if chains)
    if need_scores and rule in RANKER_RULES and unscored == sum(bool(chains) for _, chains in problems) > 0:
        chain_weights([chain for _, chains in problems for chain in chains], rule)  # raises the error
    if unscored:
        note(f"{unscored} of {len(problems)} problems have no chain with a score: counted by `sc`")
    _note_empty(problems)
    return _counted(_graded(problems, checker), rule)


def results_by_rule(
    problems: Sequence[tuple[Problem, list[Chain]]], checker: Checker
) -> dict[str, list[tuple[Problem, list[Chain], bool]]]:
    """Vote on every problem by each rule that the chains allow, `any` last; see vote_results.

    Rules that need scores are left out if no chain has one, and `wsc` if a chain has no log-probability.
    """
    _note_empty(problems)
    graded = _graded(problems, checker)
    scored = any(chain.weight is not None for _, chains in graded for chain in chains)
    found = {}
    for rule in (*RULES, "any"):
        if scored or rule not in RANKER_RULES:
            with contextlib.suppress(UsageError):
                found[rule] = _counted(graded, rule)
    return found


def _note_empty(problems: Sequence[tuple[Problem, list[Chain]]]) -> None:
    if empty := sum(not chains for _, chains in problems):
        note(f"{empty} of {len(problems)} problems have no chains: counted as wrong")


def _graded(problems: Sequence[tuple[Problem, list[Chain]]], checker: Checker) -> list[tuple[Problem, list[Chain]]]:
    return [(problem, _with_own_verdicts(grade_chains(raw, problem.answer, checker), raw)) for problem, raw in problems]


def _counted(graded: Sequence[tuple[Problem, list[Chain]]], rule: str) -> list[tuple[Problem, list[Chain], bool]]:
    results = []
    for problem, chains in graded:
        with name_problem_in_errors(problem.question or problem.id):
            right = any_right(chains) if rule == "any" else winner_is_right(chains, _ballot(chains, rule))
        results.append((problem, chains, right))
    return results


def stopped_early(
    results: Sequence[tuple[Problem, list[Chain], bool]], threshold: float, wave: int, rule: str
) -> dict[str, float]:
    """Simulate early stopping on the results of vote_results; see voting.early_stopping.

    Args:
        results: The results.
        threshold: The probability at which sampling stops.
        wave: The number of chains sampled at once.
        rule: The rule.

    Returns:
        `right`, the number of right answers; `chains`, the fraction of chains sampled; `same`, the fraction of problems
        with the same answer as from all chains.

    Raises:
        UsageError: The confidence cannot be computed from a problem's weights; the error names the problem.
    """
    found = []
    for problem, chains, _ in results:
        with name_problem_in_errors(problem.question or problem.id):
            found.append(simulate_early_stop(chains, threshold, wave, applicable_rule(chains, rule)))
    total = sum(len(chains) for _, chains, _ in results)
    return {
        "right": sum(item.right for item in found),
        "chains": sum(item.drawn for item in found) / max(total, 1),
        "same": sum(item.same for item in found) / len(results),
    }


def _with_own_verdicts(graded: Sequence[Chain], raw: Sequence[Chain]) -> list[Chain]:
    """Replace correctness by the file's own verdicts: a class has that of its most frequent spelling."""
    spellings: dict[int | None, Counter[str | None]] = {}
    verdicts: dict[str | None, bool | None] = {}
    for done, known in zip(graded, raw, strict=True):
        spellings.setdefault(done.answer_class, Counter())[done.answer] += 1
        verdicts.setdefault(done.answer, known.correct)
    found = []
    for done, known in zip(graded, raw, strict=True):
        verdict = known.correct
        if verdict is not None and done.answer_class is not None:
            verdict = verdicts[spellings[done.answer_class].most_common(1)[0][0]]
        found.append(done if verdict is None else dataclasses.replace(done, correct=verdict))
    return found


def _ballot(chains: Sequence[Chain], rule: str) -> Ballot:
    return vote(chains, applicable_rule(chains, rule))


def _read(row: dict[str, Any], number: int) -> tuple[Problem, list[Chain], Counter[str]]:
    """Return a line's problem, its chains, and by fault the number of chains with an invalid number."""
    invalid: Counter[str] = Counter()
    if "chains" in row:
        gold, items = _gold(row["gold"]), row["chains"]
        name = str(row.get("id", number))
        logprobs = [_logprob(item.get("logprob"), invalid) for item in items]
        chains = [
            _chain(name, i, str(item.get("text", "")), item.get("answer"), _score(item.get("weight"), invalid), logprob)
            for i, (item, logprob) in enumerate(zip(items, logprobs, strict=True))
        ]
        return Problem(name, str(row.get("question", "")), gold, "file"), chains, invalid
    question = row["question"]
    name = problem_id(question)
    if "pred" in row:
        answers = _list(row["pred"])
        texts = _list(row.get("code") or [""] * len(answers))
        scores = row.get("pred_score")
        rows = zip(texts, answers, [None] * len(answers) if scores in (None, []) else _list(scores), strict=True)
        chains = [
            _chain(name, i, str(text), answer, _score(score, invalid), None)
            for i, (text, answer, score) in enumerate(rows)
        ]
        verdicts = row.get("score")
        if isinstance(verdicts, list) and all(isinstance(verdict, bool) for verdict in verdicts):
            chains = [dataclasses.replace(c, correct=v) for c, v in zip(chains, verdicts, strict=True)]
        return Problem(name, question, _gold(row.get("gt", row.get("answer"))), "file"), chains, invalid
    chains = [_chain(name, i, str(text), None, None, None) for i, text in enumerate(_list(row["generated_answer"]))]
    return Problem(name, question, _gold(row["answer"]), "file"), chains, invalid


def _gold(value: Any) -> str:
    """Return a gold answer as text; empty if there is none."""
    return "" if value is None else str(value)


def _list(value: Any) -> list[Any]:
    """Wrap a single value in a list."""
    return value if isinstance(value, list) else [value]


def _score(value: Any, invalid: Counter[str]) -> float | None:
    """Read a score; one that is not finite, or so large that sums of it could overflow, is counted and ignored."""
    if isinstance(value, list):  # a score for each step: the last one is the chain's
        value = value[-1] if value else None
    if value is None:
        return None
    try:
        score = float(value)
    except OverflowError:  # an integer beyond all floats
        score = math.inf
    if abs(score) <= MAX_SCORE:  # false for NaN too
        return score
    invalid[f"the score is NaN, infinite or beyond ±{MAX_SCORE:g}"] += 1
    return None


def _logprob(value: Any, invalid: Counter[str]) -> float | None:
    """Read a log-probability; an invalid one is counted and ignored."""
    found = log_probability(value)
    if value is not None and found is None:
        invalid["`logprob` is not a number ≤ 0"] += 1
    return found


def _chain(name: str, index: int, text: str, answer: Any, score: float | None, logprob: float | None) -> Chain:
    found = str(answer) if answer not in (None, "") else extract(text).answer
    return Chain(name, index, text, found, logprobs=() if logprob is None else (logprob,), weight=score)


def require_results(results: Sequence[Any], path: Path) -> None:
    """Raise NsadError if a file contains no problem."""
    if not results:
        raise NsadError(
            f"{path} contains no problem with chains",
            "no line could be read",
            'lines are {"id", "gold", "chains": [{"text", "answer", "weight"}]}',
        )
