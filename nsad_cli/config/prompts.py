"""Few-shot prompts: demonstrations as turns of a chat, or as text before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.schema import Demonstration, EvaluationConfig, TeacherConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW_SHOT = "few-shot"
"""The evaluation method that prompts the untrained student with demonstrations."""
DEMONSTRATION_END = "\n\n"
"""The separator after a demonstration in a text prompt."""
Message = dict[str, str]
BUILT_IN_DEMONSTRATIONS = (
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
"""Default demonstrations for `few-shot`; they end like the training rationales."""


def chat_messages(demonstrations: Sequence[Demonstration], prompt: str, question: str) -> list[Message]:
    """Build a chat of demonstrations that ends with the question; `prompt` contains {question}."""
    messages = []
    for item in demonstrations:
        messages.append({"role": "user", "content": prompt.replace("{question}", item.question)})
        messages.append({"role": "assistant", "content": item.solution})
    return [*messages, {"role": "user", "content": prompt.replace("{question}", question)}]


def text_prompt(demonstrations: Sequence[Demonstration], template: str, question: str) -> str:
    """Build a text prompt of demonstrations, each followed by a blank line, that ends with the question."""
    solved = [
        template.replace("{question}", item.question) + item.solution + DEMONSTRATION_END for item in demonstrations
    ]
    return "".join(solved) + template.replace("{question}", question)


def wrap_questions(demonstrations: Sequence[Demonstration], prompt: str) -> tuple[Demonstration, ...]:
    """Insert each question into a prompt, for a model that applies its own template to the result."""
    return tuple(
        Demonstration(question=prompt.replace("{question}", item.question), solution=item.solution)
        for item in demonstrations
    )


def label(*, right: bool) -> str:
    """Return what follows a question in the prompts of a stage with labels: the kind of solution that is asked for."""
    return f"\n\nGive {'a correct' if right else 'an incorrect'} solution."


def few_shot_demonstrations(settings: EvaluationConfig) -> tuple[Demonstration, ...]:
    """Return the demonstrations for `few-shot`: the recipe's, else the built-in ones."""
    return tuple(settings.demonstrations or BUILT_IN_DEMONSTRATIONS)


def demonstrations_key(settings: TeacherConfig) -> dict[str, Any]:
    """Return a teacher's demonstrations as part of the key of a sample; empty if there are none."""
    return (
        {"demonstrations": [item.model_dump() for item in settings.demonstrations]} if settings.demonstrations else {}
    )


def next_question_markers(demonstrations: Sequence[Demonstration], template: str) -> tuple[str, ...]:
    """Return the stop texts at which a few-shot model begins to write a further question.

    These are the first and the last line before {question}. If there is none, it is the blank line between two
    demonstrations, unless a solution contains one too.
    """
    opening = template.partition("{question}")[0].strip().splitlines()
    if opening:
        return tuple(dict.fromkeys((f"\n{opening[0].strip()}", f"\n{opening[-1].strip()}")))
    return () if any(DEMONSTRATION_END in item.solution for item in demonstrations) else (DEMONSTRATION_END,)
