"""Sampled and graded chains of one problem."""

from __future__ import annotations

from nsad_cli.types import Chain, Finish


def group(problem: str, answers: list[int | None], weight: float = 0.5) -> list[Chain]:
    """Sampled chains of a problem whose right answer is 1."""
    return [
        Chain(
            problem,
            i,
            "",
            None if answer is None else str(answer),
            Finish.STOP,
            (1, 2, 3),
            (-1.0,) * 3,
            None if answer is None else answers.index(answer),
            answer == 1,
            weight,
        )
        for i, answer in enumerate(answers)
    ]
