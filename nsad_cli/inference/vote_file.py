"""Chains from a file, for votes without any model: JSON lines in three formats."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.extract import extract
from nsad_cli.types import Ballot, Chain, Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.logprobs import log_probability
from nsad_cli.utils.logs import line_note, note
from nsad_cli.voting.early_stopping import simulate_early_stop
from nsad_cli.voting.rules import (
    RANKER_RULES,
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

    Formats, by their keys: NSAD's own {"id", "gold", "chains": [{"text", "answer", "weight"?, "logprob"?}]}; scored
    predictions {"question", "gt" or "answer", "pred", "pred_score", "score"?}, whose own verdicts in `score` stand;
    texts alone {"question", "answer", "generated_answer"}, where a string is one text. A corrupt line, or one without a
    gold answer, is named and the rest kept; so are an id that comes again, and log-probabilities that cannot be any,
    which count as missing.
    """
    lines: dict[str, int] = {}
    for number, row in read_jsonl(path):
        place = f"{path}:{number}"
        try:
            problem, chains, unlikely = _read(row, number)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            line_note(path, f"{place}: not a problem with chains ({error!r}); line skipped")
            continue
        if not problem.answer.strip():
            line_note(path, f"{place}: no gold answer to compare with; line skipped")
            continue
        if problem.id in lines:
            line_note(path, f"{place}: `{problem.id}` is on line {lines[problem.id]} too; both count")
        if unlikely:
            line_note(
                path,
                f"{place}: `logprob` is no log-probability (a number up to 0) in {unlikely} chains; left out",
            )
        lines.setdefault(problem.id, number)
        yield problem, chains


def vote_results(
    problems: Sequence[tuple[Problem, list[Chain]]],
    rule: str,
    checker: Checker,
) -> list[tuple[Problem, list[Chain], bool]]:
    """Hold every vote: (problem, completed chains, whether the winner is right); rule `any` is the upper bound.

    Problems of whose chains none has the score that the rule needs are counted by `sc`; a note says how many, and
    how many have no chains. Raises UsageError, naming the problem, where its vote cannot be held, and where no chain
    at all has a score.
    """
    unscored = sum(applicable_rule(chains, rule) != rule for _, chains in problems if chains)
    if rule in RANKER_RULES and unscored == sum(bool(chains) for _, chains in problems) > 0:
        chain_weights([chain for _, chains in problems for chain in chains], rule)  # tells that none has one
    if unscored:
        note(f"{unscored} of {len(problems)} problems have no chain with a score: counted by `sc`")
    if silent := sum(not chains for _, chains in problems):
        note(f"{silent} of {len(problems)} problems have no chains: counted as not right")
    results = []
    for problem, raw in problems:
        chains = [
            done if known.correct is None else dataclasses.replace(done, correct=known.correct)
            for done, known in zip(grade_chains(raw, problem.answer, checker), raw, strict=True)
        ]
        with name_problem_in_errors(problem.question or problem.id):
            right = any_right(chains) if rule == "any" else winner_is_right(chains, _ballot(chains, rule))
        results.append((problem, chains, right))
    return results


def stopped_early(
    results: Sequence[tuple[Problem, list[Chain], bool]], threshold: float, wave: int, rule: str
) -> dict[str, float]:
    """What stopping early (see stopping) makes of the votes.

    `right` answers; the share of `chains` drawn; the share of problems whose answer is the `same` as from all chains.
    Raises UsageError, naming the problem, where its weights tell no confidence.
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


def _ballot(chains: Sequence[Chain], rule: str) -> Ballot:
    return vote(chains, applicable_rule(chains, rule))


def _read(row: dict[str, Any], number: int) -> tuple[Problem, list[Chain], int]:
    """A line's problem and chains, and how many of these told a log-probability that cannot be one."""
    if "chains" in row:
        gold, items = _gold(row["gold"]), row["chains"]
        name = str(row.get("id", number))
        told = [item.get("logprob") for item in items]
        likely = [log_probability(value) for value in told]
        chains = [
            _chain(name, i, str(item.get("text", "")), item.get("answer"), item.get("weight"), likely[i])
            for i, item in enumerate(items)
        ]
        unlikely = sum(value is not None and known is None for value, known in zip(told, likely, strict=True))
        return Problem(name, str(row.get("question", "")), gold, "file"), chains, unlikely
    question = row["question"]
    name = problem_id(question)
    if "pred" in row:
        answers = _list(row["pred"])
        texts = _list(row.get("code") or [""] * len(answers))
        scores = row.get("pred_score")
        rows = zip(texts, answers, [None] * len(answers) if scores in (None, []) else _list(scores), strict=True)
        chains = [_chain(name, i, str(text), answer, score, None) for i, (text, answer, score) in enumerate(rows)]
        verdicts = row.get("score")
        if isinstance(verdicts, list) and all(isinstance(verdict, bool) for verdict in verdicts):
            chains = [dataclasses.replace(c, correct=v) for c, v in zip(chains, verdicts, strict=True)]
        return Problem(name, question, _gold(row.get("gt", row.get("answer"))), "file"), chains, 0
    chains = [_chain(name, i, str(text), None, None, None) for i, text in enumerate(_list(row["generated_answer"]))]
    return Problem(name, question, _gold(row["answer"]), "file"), chains, 0


def _gold(value: Any) -> str:
    """A gold answer as text; empty where there is none."""
    return "" if value is None else str(value)


def _list(value: Any) -> list[Any]:
    """One thing by itself is a list of one."""
    return value if isinstance(value, list) else [value]


def _chain(name: str, index: int, text: str, answer: Any, weight: Any, logprob: float | None) -> Chain:
    if isinstance(weight, list):  # reward models that score every step: the last one stands for the chain
        weight = weight[-1] if weight else None
    said = str(answer) if answer not in (None, "") else extract(text).answer
    return Chain(
        name,
        index,
        text,
        said,
        logprobs=() if logprob is None else (logprob,),
        weight=None if weight is None else float(weight),
    )


def require_results(results: Sequence[Any], path: Path) -> None:
    """Raise NsadError where a file gave no problem at all."""
    if not results:
        raise NsadError(
            f"{path} holds no problem with chains",
            "no line of it could be read",
            'lines are {"id", "gold", "chains": [{"text", "answer", "weight"}]}',
        )
