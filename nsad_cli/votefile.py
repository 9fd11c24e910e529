"""Chains from a file, for votes without any model: JSON lines in three formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nsad_cli.answers.checker import Checker
from nsad_cli.answers.extract import extract
from nsad_cli.errors import NsadError
from nsad_cli.files import read_jsonl
from nsad_cli.solve import complete
from nsad_cli.stopping import stopped
from nsad_cli.types import Chain, Problem, problem_id
from nsad_cli.voting import any_right, vote, winner_is_right


def read_vote_file(path: Path, on_corrupt: Callable[[str], None]) -> Iterator[tuple[Problem, list[Chain]]]:
    """Read problems with their chains.

    Formats, by their keys: NSAD's own {"id", "gold", "chains": [{"text", "answer", "weight"?, "logprob"?}]}; scored
    predictions {"question", "gt" or "answer", "pred", "pred_score", "score"?}, whose own verdicts in `score` stand;
    texts alone {"question", "answer", "generated_answer"}. A corrupt line is named and the rest kept.
    """
    for number, row in read_jsonl(path, on_corrupt):
        try:
            yield _read(row, number)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            on_corrupt(f"{path}:{number}: not a problem with chains ({error!r}); line skipped")


def vote_results(
    problems: Sequence[tuple[Problem, list[Chain]]], rule: str, checker: Checker
) -> list[tuple[Problem, list[Chain], bool]]:
    """Hold every vote: (problem, completed chains, whether the winner is right); rule `any` is the upper bound."""
    results = []
    for problem, raw in problems:
        chains = [
            done if known.correct is None else dataclasses.replace(done, correct=known.correct)
            for done, known in zip(complete(raw, problem.answer, checker), raw, strict=True)
        ]
        right = any_right(chains) if rule == "any" else winner_is_right(chains, vote(chains, rule))
        results.append((problem, chains, right))
    return results


def stopped_early(
    results: Sequence[tuple[Problem, list[Chain], bool]], threshold: float, wave: int, rule: str
) -> dict[str, float]:
    """What stopping early (see stopping) makes of the votes.

    `right` answers; the share of `chains` drawn; the share of problems whose answer is the `same` as from all chains.
    """
    found = [stopped(chains, threshold, wave, rule) for _, chains, _ in results]
    total = sum(len(chains) for _, chains, _ in results)
    return {
        "right": sum(item.right for item in found),
        "chains": sum(item.drawn for item in found) / total,
        "same": sum(item.same for item in found) / len(results),
    }


def _read(row: dict[str, Any], number: int) -> tuple[Problem, list[Chain]]:
    if "chains" in row:
        gold, items = str(row["gold"]), row["chains"]
        name = str(row.get("id", number))
        chains = [
            _chain(name, i, str(item.get("text", "")), item.get("answer"), item.get("weight"), item.get("logprob"))
            for i, item in enumerate(items)
        ]
        return Problem(name, str(row.get("question", "")), gold, "file"), chains
    question = row["question"]
    name = problem_id(question)
    if "pred" in row:
        texts = row.get("code") or [""] * len(row["pred"])
        rows = zip(texts, row["pred"], row.get("pred_score") or [None] * len(row["pred"]), strict=True)
        chains = [_chain(name, i, str(text), answer, score, None) for i, (text, answer, score) in enumerate(rows)]
        verdicts = row.get("score")
        if isinstance(verdicts, list) and all(isinstance(verdict, bool) for verdict in verdicts):
            chains = [dataclasses.replace(c, correct=v) for c, v in zip(chains, verdicts, strict=True)]
        return Problem(name, question, str(row.get("gt", row.get("answer"))), "file"), chains
    chains = [_chain(name, i, str(text), None, None, None) for i, text in enumerate(row["generated_answer"])]
    return Problem(name, question, str(row["answer"]), "file"), chains


def _chain(name: str, index: int, text: str, answer: Any, weight: Any, logprob: float | None) -> Chain:
    if isinstance(weight, list):  # reward models that score every step: the last one stands for the chain
        weight = weight[-1] if weight else None
    said = str(answer) if answer not in (None, "") else extract(text).answer
    return Chain(
        name,
        index,
        text,
        said,
        logprobs=() if logprob is None else (float(logprob),),
        weight=None if weight is None else float(weight),
    )


def need_some(results: Sequence[Any], path: Path) -> None:
    """Raise NsadError where a file gave no problem at all."""
    if not results:
        raise NsadError(
            f"{path} holds no problem with chains",
            "no line of it could be read",
            'lines are {"id", "gold", "chains": [{"text", "answer", "weight"}]}',
        )
