"""Rationales as rows that TRL reads, and back: prompt-completion, preference, unpaired preference; pure.

The columns are those of TRL's dataset formats (https://huggingface.co/docs/trl/dataset_formats), standard, or
conversational for a student with a chat template. Beside them stand `question`, `answer` (the gold one), `benchmark`,
`split` and `subject`, which TRL passes over: with them a set comes back as it was.
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
"""What a row of rationales is made of."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row as it is read: a problem with texts, and for each its label where the row says which side it is of."""

    problem: Problem
    texts: tuple[str, ...]
    labels: tuple[bool | None, ...]
    paired: bool = False
    """Pairs repeat a text for each partner that it has."""


# --- out ---------------------------------------------------------------------------------------------------------


def rows_of(positive: Sequence[Rationale], negative: Sequence[Rationale], format: Format, template: str) -> list[Row]:
    """D+ and D− as rows of a format, by problem in order; prompts are the student's own.

    prompt-completion has no place for a label: one side is to be given empty.
    """
    if format == "preference":
        return _pairs(positive, negative, template)
    order = {problem: number for number, problem in enumerate(_by_problem([*positive, *negative]))}
    both = sorted([(item, True) for item in positive] + [(item, False) for item in negative], key=_place(order))
    rows = []
    for item, right in both:
        row = {"prompt": _prompt(item.problem, template), "completion": _completion(item.text, template)}
        rows.append({**row, **({"label": right} if format == "unpaired" else {}), **_about(item.problem)})
    return rows


def _place(order: dict[str, int]) -> Any:
    return lambda pair: (order[pair[0].problem.id], pair[0].index)


def _pairs(positive: Sequence[Rationale], negative: Sequence[Rationale], template: str) -> list[Row]:
    """Every text of a problem with both sides in as few pairs as can be: the shorter side goes round."""
    right, wrong = _by_problem(positive), _by_problem(negative)
    rows = []
    for name, chosen in right.items():
        rejected = wrong.get(name, [])
        for i in range(max(len(chosen), len(rejected)) if rejected else 0):
            one, other = chosen[i % len(chosen)], rejected[i % len(rejected)]
            rows.append(
                {
                    "prompt": _prompt(one.problem, template),
                    "chosen": _completion(one.text, template),
                    "rejected": _completion(other.text, template),
                    **_about(one.problem),
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


def _about(problem: Problem) -> Row:
    names = ("question", "answer", "benchmark", "split", "subject")
    return {name: getattr(problem, name) for name in names}


# --- in ----------------------------------------------------------------------------------------------------------


def entry_of(row: Row) -> Entry:
    """Read a row of any of the formats, or of {"question", "answer", "generated_answer": [...]}.

    A row without an `answer` must have labels. Raises ValueError that says what is missing.
    """
    texts, labels = _texts(row)
    answer = row.get("answer")
    if isinstance(answer, dict | list):
        raise ValueError("`answer` is neither text nor a number")
    gold = "" if answer is None else text_of(answer)
    if not gold and None in labels and "generated_answer" not in row:
        raise ValueError("it has neither an `answer` to grade by nor a `label`")
    question = _question(row)
    kept = ("benchmark", "split", "subject")
    about = {name: row[name] for name in kept if isinstance(row.get(name), str)}
    problem = Problem(problem_id(question), question, gold, **{"benchmark": "jsonl", "split": "train", **about})
    return Entry(problem, tuple(texts), tuple(labels), paired="chosen" in row)


def _texts(row: Row) -> tuple[list[str], list[bool | None]]:
    if "generated_answer" in row:
        texts = row["generated_answer"]
        if not isinstance(texts, list) or row.get("answer") is None:
            raise ValueError("needs question, answer and generated_answer (a list)")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("`generated_answer` is a list of something else than texts")
        return texts, [None] * len(texts)
    if "chosen" in row or "rejected" in row:
        return [_said(row, "chosen"), _said(row, "rejected")], [True, False]
    if "completion" not in row:
        columns = ", ".join(map(str, row)) or "none"
        raise ValueError(f"it has no `completion`, `chosen` or `generated_answer`; its columns: {columns}")
    label = row.get("label")
    if label not in (None, True, False):
        raise ValueError("`label` is neither true nor false")
    return [_said(row, "completion")], [None if label is None else bool(label)]


def _said(row: Row, name: str) -> str:
    """A completion: text, or a conversation that ends in the assistant's message."""
    value = row.get(name)
    if isinstance(value, list) and value and isinstance(value[-1], dict) and value[-1].get("role") == "assistant":
        value = value[-1].get("content")
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is neither text nor a conversation that ends with the assistant")
    return value


def _question(row: Row) -> str:
    """The question itself, else the prompt, else the conversation before the chosen answer: one message of a user."""
    value = next((row[name] for name in ("question", "prompt") if row.get(name)), None)
    if value is None and isinstance(row.get("chosen"), list):
        value = row["chosen"][:-1]
    if isinstance(value, list):
        asked = [item.get("content") for item in value if isinstance(item, dict) and item.get("role") != "system"]
        value = asked[0] if len(asked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError("needs a `question` or a `prompt`: text, or a conversation of one user message")
    return value.strip()
