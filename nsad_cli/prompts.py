"""Few-shot prompts: demonstrations as turns of a chat, or as text before the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsad_cli.config import Demonstration, TeacherConfig

Message = dict[str, str]
BUILT_IN = (
    Demonstration(
        question="A baker has 24 rolls. She sells 9 of them and bakes 12 more. How many rolls does she have now?",
        solution="After selling 9 rolls she has 24 - 9 = 15. With 12 more she has 15 + 12 = 27. The answer is 27.",
    ),
    Demonstration(
        question="Each of 6 shelves holds 8 books, and 5 books lie on a table. How many books are there?",
        solution="The shelves hold 6 * 8 = 48 books. With those on the table there are 48 + 5 = 53. The answer is 53.",
    ),
    Demonstration(
        question="Solve for x: 3x + 4 = 19.",
        solution="Subtracting 4 gives 3x = 15. Dividing by 3 gives x = 5. The answer is 5.",
    ),
    Demonstration(
        question="A ribbon of 2 metres is cut into 5 equal pieces. How long is one piece, in centimetres?",
        solution="2 metres are 200 centimetres. One piece has 200 / 5 = 40 centimetres. The answer is 40.",
    ),
)
"""Ours, for `few-shot` where the recipe names none; they end as training rationales do."""


def turns(demonstrations: Sequence[Demonstration], prompt: str, question: str) -> list[Message]:
    """The messages of a chat that ends with the question, `prompt` around {question} in every turn of the user."""
    messages = []
    for item in demonstrations:
        messages.append({"role": "user", "content": prompt.replace("{question}", item.question)})
        messages.append({"role": "assistant", "content": item.solution})
    return [*messages, {"role": "user", "content": prompt.replace("{question}", question)}]


def text(demonstrations: Sequence[Demonstration], template: str, question: str) -> str:
    """One text that ends with the question, its prompt open; a blank line closes each demonstration."""
    shown = [template.replace("{question}", item.question) + f"{item.solution}\n\n" for item in demonstrations]
    return "".join(shown) + template.replace("{question}", question)


def shown(settings: TeacherConfig) -> dict[str, Any]:
    """A teacher's demonstrations as part of a draw's key; nothing where there are none."""
    return (
        {"demonstrations": [item.model_dump() for item in settings.demonstrations]} if settings.demonstrations else {}
    )


def next_question(template: str) -> str | None:
    """The text by which a model that runs on begins a question of its own; None where the template opens with one."""
    opening = template.partition("{question}")[0].strip()
    return f"\n{opening}" if opening else None
