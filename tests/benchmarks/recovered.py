r"""Right answers that \boxed and MATH's string rules alone do not find, on GPT-3.5's and GPT-4's rationales.

    NSAD_DATA=… python -m tests.benchmarks.recovered [--json] [--print 100]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH and tdg/GPT4-MATH. Recovered is a rationale that we call correct and of which the
reference's reading, the last box compared as a string under MATH's rules, says that it is not; `--print N` prints a
seeded sample of each file, for reading: what we read, the gold answer, and the end of the text.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from typing import Any

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.extract import extract
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Finish, Verdict
from nsad_cli.utils.latex import last_boxed
from tests.benchmarks.grading import FILES, rationales
from tests.benchmarks.report import at_least, finish


def string_rules(text: str) -> str:
    """MATH's spelling of an answer, as its paper's evaluation compares it: our own writing of those rules."""
    for old, new in (("\n", ""), (r"\!", ""), (r"\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), (r"\left", "")):
        text = text.replace(old, new)
    for old in (r"\right", r"^{\circ}", r"^\circ", r"\$"):
        text = text.replace(old, "")
    parts = text.split(r"\text{ ")  # a unit on the right side
    text = parts[0] if len(parts) == 2 else text
    text = text.replace(r"\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = "0" + text if text.startswith(".") else text
    sides = text.split("=")
    text = sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text
    text = re.sub(r"\\sqrt(?!\{)(.)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac(?!\{)(.)(?!\{)(.)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(?!\{)(.)\{", r"\\frac{\1}{", text)
    if text == "0.5":
        return r"\frac{1}{2}"
    return re.sub(r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}", text)


def boxed_alone(text: str, gold: str) -> bool:
    """Whether the reference would call a rationale correct."""
    answer = last_boxed(text)
    return answer is not None and string_rules(answer) == string_rules(gold)


def measure(printed: int) -> dict[str, Any]:
    """Counts of both files; prints what is asked for."""
    figures: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    every = {name: rationales(name) for name in FILES}
    with Checker() as checker:
        for name, items in every.items():
            print(f"{name}: {len(items)} rationales …", file=sys.stderr)
            judged = grade_texts([(text, gold, Finish.STOP) for text, gold in items], checker)
            alone = [boxed_alone(text, gold) for text, gold in items]
            right = [item.verdict is Verdict.CORRECT for item in judged]
            recovered = [item for item, ours, reference in zip(items, right, alone, strict=True) if ours > reference]
            lost = [
                (item.verdict.value, item.answer, gold)
                for item, (_, gold), reference in zip(judged, items, alone, strict=True)
                if reference and item.verdict is not Verdict.CORRECT
            ]
            figures[f"{name} recovered"] = at_least(len(recovered), None)
            figures[f"{name} right by the box alone"] = at_least(sum(alone), None)
            conditions[name] = {
                "verdicts": {
                    verdict.value: sum(item.verdict is verdict for item in judged)
                    for verdict in Verdict
                    if any(item.verdict is verdict for item in judged)
                },
                "right_by_the_box_alone_and_not_correct_here": {
                    verdict: sum(kind == verdict for kind, *_ in lost)
                    for verdict in sorted({kind for kind, *_ in lost})
                },
            }
            for text, gold in random.Random(1).sample(recovered, min(printed, len(recovered))):
                read = extract(text, gold)
                print(f"--- read: {read.answer} ({read.marker})   gold: {gold}\n{text[-240:]}")
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovered")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument(
        "--print", type=int, default=0, dest="printed", help="recovered rationales of each file to read"
    )
    arguments = parser.parse_args()
    if arguments.json and arguments.printed:
        parser.error("--print is for reading, --json for programs: choose one")
    finish(measure(arguments.printed), arguments.json)
