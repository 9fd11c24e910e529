"""Texts of 100 kB made of one repeated piece are read in linear time."""

from __future__ import annotations

import time

import pytest

from nsad_cli.grading.extract import extract

CHARS = 100_000
PIECES = (
    *(
        "a",
        "1",
        " ",
        "\n",
        " \n",
        "\t",
        "(",
        "((a",
        "{",
        "}{",
        "$",
        "$$",
        "**",
        "__",
        "```\n",
        "```python\n",
        "> ",
        "=",
        "0.",
    ),
    *(
        "<think>",
        "</think>",
        "<answer>",
        "<|im_end|>",
        '"answer": "',
        '"k": ',
        "\\boxed{",
        "\\boxed ",
        "\\frac{1}{",
        "oxed{",
    ),
    *(
        "answer ",
        "answer to ",
        "the answer is ",
        "the answer is not ",
        "The answer is:\n\n",
        "answer\n",
        "A: 1\n",
        "#### a\n",
    ),
    *(
        "but ",
        "however 3 ",
        "wait ",
        "that is ",
        "let me ",
        "not ",
        "many students ",
        "if a b ",
        "could a ",
        "1 and $",
        "5 of ",
    ),
    *("1,", "1,234", "1/", "-", "1. ", "x = 1, ", "✅", "答案是", "．", "？", "are "),
)


@pytest.mark.parametrize("piece", PIECES)
def test_one_piece_over_and_over(piece: str) -> None:
    text = (piece * (CHARS // len(piece) + 1))[:CHARS]
    started = time.process_time()
    for whole in (text, f"The answer is 5. {text}", f"{text} The answer is 5"):
        extract(whole, "5")
    assert time.process_time() - started < 6
