"""Recorded teachers: files of rationales that were collected before, with their own problems."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from nsad_cli.errors import NsadError
from nsad_cli.problems.gsm8k import strip_annotations
from nsad_cli.store.trl_format import COLUMNS, read_rationale_row
from nsad_cli.types import Draw, Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.latex import last_boxed
from nsad_cli.utils.logs import MAX_LINE_NOTES, LineNotes, line_note, note
from nsad_cli.utils.row_files import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from nsad_cli.teachers.base import Request

SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
"""The models of GSM8K's example_model_solutions.jsonl, in the order of the draws."""

ROW_FORMAT = f"a row has {COLUMNS}; problems without rationales are for `nsad collect --problems jsonl@FILE`"


class RecordedRationales(NamedTuple):
    """A problem with recorded rationales."""

    problem: Problem
    texts: list[str]
    labels: list[bool | None] | None = None
    """For each text True for D+, False for D−, None if the source does not say."""


class RecordedTeacher:
    """Rationales read from files; a problem's draws are numbered in the order of the file."""

    def __init__(self, scheme: str, path: Path) -> None:
        if not path.exists():
            raise NsadError(f"the teacher `{scheme}:{path}` has no data", "no such file or folder", "check the path")
        self.name = f"{scheme}:{path.name}"
        self.labels: dict[tuple[str, int], bool] = {}
        """Labels by problem id and draw number; for problems without a gold answer they become the verdicts."""
        self._contradictory: set[tuple[str, int]] = set()
        """Problem ids and draw numbers of texts that are labelled both right and wrong: they are no draws."""
        self._rationales: dict[str, list[str]] = {}
        self._problems: dict[str, Problem] = {}
        digest = hashlib.sha256()
        with LineNotes() as skipped:
            for problem, texts, labels in READERS[scheme](path):
                digest.update(repr((problem.id, texts, labels) if labels else (problem.id, texts)).encode())
                known = self._problems.get(problem.id)
                if known is None or not known.answer:
                    self._problems[problem.id] = problem
                recorded = self._rationales.setdefault(problem.id, [])
                for index, label in enumerate(labels or (), len(recorded)):
                    if label is not None:
                        self.labels[problem.id, index] = label
                recorded.extend(texts)
        self._leave_out_contradictions(path)
        if skipped.count > MAX_LINE_NOTES:
            note(f"{path}: {skipped.count} rows cannot be read and are skipped")
        # Two files with the same name, or a file before and after an edit, are different sources.
        self.params: dict[str, Any] = {"recorded": scheme, "content": digest.hexdigest()}
        if not self._problems:
            raise NsadError(
                f"the teacher `{scheme}:{path}` has no rationale",
                skipped.first or "it is empty",
                ROW_FORMAT if scheme == "jsonl" else "check that the scheme fits the file",
            )

    def _leave_out_contradictions(self, path: Path) -> None:
        """Remove texts that have both labels for the same problem, with a note; the others keep their numbers."""
        labels: dict[tuple[str, str], set[bool]] = {}
        for (problem, index), label in self.labels.items():
            labels.setdefault((problem, self._rationales[problem][index].strip()), set()).add(label)
        both = {key for key, found in labels.items() if len(found) == 2}
        if not both:
            return
        self._contradictory = {
            (problem, index)
            for problem, texts in self._rationales.items()
            for index, text in enumerate(texts)
            if (problem, text.strip()) in both
        }
        self.labels = {draw: label for draw, label in self.labels.items() if draw not in self._contradictory}
        first = " ".join(min(both)[1].split())[:60]
        note(
            f"{path}: {len(both)} texts are labelled both right and wrong for the same problem; they are left out of "
            f"both sides (`{first}`)"
        )

    @property
    def max_draws(self) -> int:
        """The largest number of rationales of a problem."""
        return max(map(len, self._rationales.values()))

    def problems(self) -> list[Problem] | None:
        """List the problems in the order of the file."""
        return list(self._problems.values())

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Return recorded draws; see Teacher.draw. Draws beyond the recorded ones are left out."""
        for request in requests:
            texts = self._rationales.get(request.problem.id)
            if texts is None:
                on_failure(request.problem, "not in the recording")
                continue
            on_draws(
                [
                    Draw(request.problem.id, self.name, index, texts[index])
                    for index in request.indices
                    if index < len(texts) and (request.problem.id, index) not in self._contradictory
                ]
            )


def read_gsm8k_solutions(path: Path) -> Iterator[RecordedRationales]:
    """Read GSM8K's example_model_solutions.jsonl: four models' solutions per problem; annotations are removed."""
    for number, row in read_jsonl(path):
        try:
            gold = row["ground_truth"].rpartition("A:")[2].strip().replace(",", "")
            solution = strip_annotations(row["ground_truth"].rpartition("A:")[0]).strip()
            texts = [strip_annotations(row[solver]["solution"]).strip() for solver in SOLVERS]
            question = row["question"].strip()
        except (KeyError, TypeError, AttributeError) as error:
            line_note(path, f"{path}:{number}: not a line of GSM8K's model solutions ({error!r}); line skipped")
            continue
        yield RecordedRationales(Problem(problem_id(question), question, gold, "gsm8k", "test", solution), texts)


def read_tdg(path: Path) -> Iterator[RecordedRationales]:
    """Read the paper's published rationales: folders of N.jsonl with question, answer and generated_answer."""
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"), key=_numeric)
    for file in files:
        subject = file.parent.name.removeprefix("train_").partition("_")[2].rpartition("_")[0]
        for number, row in read_jsonl(file):
            try:
                question = row["question"].removeprefix("Problem:").strip()
                texts = [text.removeprefix("Solution:").strip() for text in row["generated_answer"]]
                gold = last_boxed(row["answer"])
            except (KeyError, TypeError, AttributeError) as error:
                line_note(file, f"{file}:{number}: no question, answer and generated_answer ({error!r}); line skipped")
                continue
            solution = row["answer"].strip()
            yield RecordedRationales(
                Problem(problem_id(question), question, gold or "", "math", "train", solution, subject), texts
            )


def read_rationales(path: Path) -> Iterator[RecordedRationales]:
    """Read rows of {"question", "answer", "generated_answer": [...]}, or of TRL's formats (see `store.trl_format`)."""
    seen: set[tuple[str, str, bool | None]] = set()
    for place, row in read_rows(path):
        try:
            entry = read_rationale_row(row)
        except ValueError as error:
            line_note(path, f"{place}: {error}; skipped")
            continue
        texts: list[str] = []
        labels: list[bool | None] = []
        for text, label in zip(entry.texts, entry.labels, strict=True):
            if not entry.paired or (entry.problem.id, text, label) not in seen:
                seen.add((entry.problem.id, text, label))
                texts.append(text)
                labels.append(label)
        yield RecordedRationales(entry.problem, texts, labels if any(label is not None for label in labels) else None)


def _numeric(file: Path) -> tuple[str, int, str]:
    return str(file.parent), int(file.stem) if file.stem.isdigit() else 0, file.name


READERS: dict[str, Callable[[Path], Iterator[RecordedRationales]]] = {
    "gsm8k-solutions": read_gsm8k_solutions,
    "tdg": read_tdg,
    "jsonl": read_rationales,
}
