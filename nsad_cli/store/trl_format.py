"""Conversion of rationales to rows of TRL's dataset formats and back: prompt-completion, preference, unpaired.

The columns are those of https://huggingface.co/docs/trl/dataset_formats: standard, or conversational for a student
with a chat template. The columns `question`, `answer` (gold), `benchmark`, `split` and `subject` are added, which TRL
ignores, so that reading the rows restores the problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from nsad_cli.types import Problem, Rationale, problem_id
from nsad_cli.utils.files import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nsad_cli.utils.row_files import Row

Format = Literal["prompt-completion", "preference", "unpaired"]
FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS = (
    "question, answer, generated_answer (a list); or prompt and completion, with a label; or prompt, chosen, rejected"
)
"""The columns of a row of rationales, for error messages."""


@dataclass(frozen=True, slots=True)
class RationaleRow:
    """One row as it is read: a problem and rationales, each with its label if the row has one."""

    problem: Problem
    texts: tuple[str, ...]
    labels: tuple[bool | None, ...]
    paired: bool = False
    """Whether the row is a pair of the preference format, which repeats a text for each of its partners."""


# --- writing ------------------------------------------------------------------------------------------------------


def rationales_to_rows(
    positive: Sequence[Rationale], negative: Sequence[Rationale], row_format: Format, template: str
) -> list[Row]:
    """Convert D+ and D− to rows of a format, by problem in order.

    Args:
        positive: D+.
        negative: D−.
        row_format: The format; `prompt-completion` has no label, so one of the two sides should be empty.
        template: The student's prompt template, or `chat`.
    """
    if row_format == "preference":
        return _pairs(positive, negative, template)
    order = {problem: number for number, problem in enumerate(_by_problem([*positive, *negative]))}
    labelled = [(item, True) for item in positive] + [(item, False) for item in negative]
    labelled.sort(key=lambda pair: (order[pair[0].problem.id], pair[0].index))
    rows = []
    for item, label in labelled:
        row = {"prompt": _prompt(item.problem, template), "completion": _completion(item.text, template)}
        rows.append({**row, **({"label": label} if row_format == "unpaired" else {}), **_problem_columns(item.problem)})
    return rows


def _pairs(positive: Sequence[Rationale], negative: Sequence[Rationale], template: str) -> list[Row]:
    """Pair every text of a problem that has both sides, in as few pairs as possible: the shorter side is repeated."""
    chosen_by_problem, rejected_by_problem = _by_problem(positive), _by_problem(negative)
    rows = []
    for id_, chosen in chosen_by_problem.items():
        rejected = rejected_by_problem.get(id_, [])
        for i in range(max(len(chosen), len(rejected)) if rejected else 0):
            better, worse = chosen[i % len(chosen)], rejected[i % len(rejected)]
            rows.append(
                {
                    "prompt": _prompt(better.problem, template),
                    "chosen": _completion(better.text, template),
                    "rejected": _completion(worse.text, template),
                    **_problem_columns(better.problem),
                }
            )
    return rows


def _by_problem(items: Iterable[Rationale]) -> dict[str, list[Rationale]]:
    found: dict[str, list[Rationale]] = {}
    for item in items:
        found.setdefault(item.problem.id, []).append(item)
    return found


def _prompt(problem: Problem, template: str) -> Any:
    if template == "chat":
        return [{"role": "user", "content": problem.question}]
    return template.replace("{question}", problem.question)


def _completion(text: str, template: str) -> Any:
    return [{"role": "assistant", "content": text}] if template == "chat" else text


def _problem_columns(problem: Problem) -> Row:
    names = ("question", "answer", "benchmark", "split", "subject")
    return {name: getattr(problem, name) for name in names}


# --- reading ------------------------------------------------------------------------------------------------------


def read_rationale_row(row: Row) -> RationaleRow:
    """Read a row of any of the formats, or of {"question", "answer", "generated_answer": [...]}.

    Raises:
        ValueError: A column is missing or has another type; a row without `answer` must have labels.
    """
    texts, labels = _texts(row)
    answer = row.get("answer")
    if isinstance(answer, dict | list):
        raise ValueError("`answer` is neither text nor a number")
    gold = "" if answer is None else text_of(answer)
    if not gold and None in labels and "generated_answer" not in row:
        raise ValueError("it has neither an `answer` to grade by nor a `label`")
    question = _question(row)
    optional = {name: row[name] for name in ("benchmark", "split", "subject") if isinstance(row.get(name), str)}
    problem = Problem(problem_id(question), question, gold, **{"benchmark": "jsonl", "split": "train", **optional})
    return RationaleRow(problem, tuple(texts), tuple(labels), paired="chosen" in row)


def _texts(row: Row) -> tuple[list[str], list[bool | None]]:
    if "generated_answer" in row:
        texts = row["generated_answer"]
        if not isinstance(texts, list) or row.get("answer") is None:
            raise ValueError("needs question, answer and generated_answer (a list)")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("`generated_answer` is not a list of texts")
        return texts, [None] * len(texts)
    if "chosen" in row or "rejected" in row:
        return [_completion_text(row, "chosen"), _completion_text(row, "rejected")], [True, False]
    if "completion" not in row:
        columns = ", ".join(map(str, row)) or "none"
        raise ValueError(f"it has no `completion`, `chosen` or `generated_answer`; its columns: {columns}")
    label = row.get("label")
    if label not in (None, True, False):
        raise ValueError("`label` is neither true nor false")
    return [_completion_text(row, "completion")], [None if label is None else bool(label)]


def _completion_text(row: Row, name: str) -> str:
    """Read a completion: text, or a conversation that ends with the assistant's message."""
    value = row.get(name)
    if isinstance(value, list) and value and isinstance(value[-1], dict) and value[-1].get("role") == "assistant":
        value = value[-1].get("content")
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is neither text nor a conversation that ends with the assistant")
    return value


def _question(row: Row) -> str:
    """Read `question`, else `prompt`, else the messages before the chosen answer; one user message is required."""
    value = next((row[name] for name in ("question", "prompt") if row.get(name)), None)
    if value is None and isinstance(row.get("chosen"), list):
        value = row["chosen"][:-1]
    if isinstance(value, list):
        messages = [item.get("content") for item in value if isinstance(item, dict) and item.get("role") != "system"]
        value = messages[0] if len(messages) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError("needs a `question` or a `prompt`: text, or a conversation of one user message")
    return value.strip()
