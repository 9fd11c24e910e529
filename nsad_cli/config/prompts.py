"""Few-shot prompts: demonstrations as turns of a chat, or as text before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.schema import Demonstration, EvaluationConfig, TeacherConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW_SHOT = "few-shot"
"""The eval method that shows demonstrations to the untrained student."""
CLOSED = "\n\n"
"""What ends a demonstration in a text."""
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
    shown = [template.replace("{question}", item.question) + item.solution + CLOSED for item in demonstrations]
    return "".join(shown) + template.replace("{question}", question)


def filled(demonstrations: Sequence[Demonstration], prompt: str) -> tuple[Demonstration, ...]:
    """Demonstrations with a prompt around each question, for a model whose own template comes around that."""
    return tuple(
        Demonstration(question=prompt.replace("{question}", item.question), solution=item.solution)
        for item in demonstrations
    )


def few_shot(settings: EvaluationConfig) -> tuple[Demonstration, ...]:
    """What `few-shot` shows: the recipe's demonstrations, else the built-in ones."""
    return tuple(settings.demonstrations or BUILT_IN)


def shown(settings: TeacherConfig) -> dict[str, Any]:
    """A teacher's demonstrations as part of a draw's key; nothing where there are none."""
    return (
        {"demonstrations": [item.model_dump() for item in settings.demonstrations]} if settings.demonstrations else {}
    )


def next_question(demonstrations: Sequence[Demonstration], template: str) -> tuple[str, ...]:
    """The texts by which a model that has seen demonstrations and runs on begins a question of its own.

    They are the first and the last line before {question}; where nothing stands before it, the blank line between two
    demonstrations, unless a solution has one too.
    """
    opening = template.partition("{question}")[0].strip().splitlines()
    if opening:
        return tuple(dict.fromkeys((f"\n{opening[0].strip()}", f"\n{opening[-1].strip()}")))
    return () if any(CLOSED in item.solution for item in demonstrations) else (CLOSED,)
