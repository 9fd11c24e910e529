"""Recorded teachers: files of rationales that somebody has collected; they bring their own problems."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nsad_cli.answers.extract import last_boxed
from nsad_cli.benchmarks.gsm8k import strip_annotations
from nsad_cli.errors import NsadError
from nsad_cli.files import read_jsonl
from nsad_cli.teachers.base import Request
from nsad_cli.types import Draw, Problem, problem_id

OnCorrupt = Callable[[str], None]
Recorded = tuple[Problem, list[str]]
SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
"""The models of GSM8K's example_model_solutions.jsonl, in the order of the draws."""


class RecordedTeacher:
    """Rationales read from files, each problem's in the order of the file."""

    def __init__(self, scheme: str, path: Path, on_corrupt: OnCorrupt) -> None:
        if not path.exists():
            raise NsadError(f"the teacher `{scheme}:{path}` has no data", "no such file or folder", "check the path")
        self.name = f"{scheme}:{path.name}"
        self._rationales: dict[str, list[str]] = {}
        self._problems: list[Problem] = []
        digest = hashlib.sha256()
        for problem, texts in READERS[scheme](path, on_corrupt):
            digest.update(repr((problem.id, texts)).encode())
            if problem.id not in self._rationales:
                self._problems.append(problem)
            self._rationales.setdefault(problem.id, []).extend(texts)
        # Two files of one name, or one file that was edited, are two sources.
        self.params: dict[str, Any] = {"recorded": scheme, "content": digest.hexdigest()}
        if not self._problems:
            raise NsadError(
                f"the teacher `{scheme}:{path}` has no rationale",
                "no line of it could be read",
                "check that the scheme fits the file",
            )

    def problems(self) -> list[Problem] | None:
        """The problems, in the order of the file."""
        return list(self._problems)

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """Hand out what is recorded; where fewer draws are recorded than asked, there are fewer."""
        for request in requests:
            texts = self._rationales.get(request.problem.id)
            if texts is None:
                fail(request.problem, "not in the recording")
                continue
            keep(
                [
                    Draw(request.problem.id, self.name, index, texts[index])
                    for index in request.indices
                    if index < len(texts)
                ]
            )


def read_gsm8k_solutions(path: Path, on_corrupt: OnCorrupt) -> Iterator[Recorded]:
    """GSM8K's example_model_solutions.jsonl: four models' solutions a problem, without calculator annotations."""
    for number, row in read_jsonl(path, on_corrupt):
        try:
            gold = row["ground_truth"].rpartition("A:")[2].strip().replace(",", "")
            solution = strip_annotations(row["ground_truth"].rpartition("A:")[0]).strip()
            texts = [strip_annotations(row[solver]["solution"]).strip() for solver in SOLVERS]
            question = row["question"].strip()
        except (KeyError, TypeError, AttributeError) as error:
            on_corrupt(f"{path}:{number}: not a line of GSM8K's model solutions ({error!r}); line skipped")
            continue
        yield Problem(problem_id(question), question, gold, "gsm8k", "test", solution), texts


def read_tdg(path: Path, on_corrupt: OnCorrupt) -> Iterator[Recorded]:
    """The paper's published rationales: folders of N.jsonl with question, answer and generated_answer."""
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"), key=_numeric)
    for file in files:
        subject = file.parent.name.removeprefix("train_").partition("_")[2].rpartition("_")[0]
        for number, row in read_jsonl(file, on_corrupt):
            try:
                question = row["question"].removeprefix("Problem:").strip()
                texts = [text.removeprefix("Solution:").strip() for text in row["generated_answer"]]
                gold = last_boxed(row["answer"])
            except (KeyError, TypeError, AttributeError) as error:
                on_corrupt(f"{file}:{number}: no question, answer and generated_answer ({error!r}); line skipped")
                continue
            yield (
                Problem(problem_id(question), question, gold or "", "math", "train", row["answer"].strip(), subject),
                texts,
            )


def read_rationales(path: Path, on_corrupt: OnCorrupt) -> Iterator[Recorded]:
    """One's own: JSON lines of {"question", "answer", "generated_answer": [...]}."""
    for number, row in read_jsonl(path, on_corrupt):
        texts = row.get("generated_answer")
        if not isinstance(row.get("question"), str) or row.get("answer") is None or not isinstance(texts, list):
            on_corrupt(f"{path}:{number}: needs question, answer and generated_answer (a list); line skipped")
            continue
        question = row["question"].strip()
        yield (
            Problem(problem_id(question), question, str(row["answer"]).strip(), "jsonl", "train"),
            [str(text) for text in texts],
        )


def _numeric(file: Path) -> tuple[str, int, str]:
    return str(file.parent), int(file.stem) if file.stem.isdigit() else 0, file.name


READERS: dict[str, Callable[[Path, OnCorrupt], Iterator[Recorded]]] = {
    "gsm8k-solutions": read_gsm8k_solutions,
    "tdg": read_tdg,
    "jsonl": read_rationales,
}
