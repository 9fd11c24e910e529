"""Every regular expression of the package takes linear time on hostile texts; the grader's are in tests/grading."""

from __future__ import annotations

import ast
import importlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsad_cli.problems.asdiv import without_units
from nsad_cli.problems.ngram_overlap import without_numbers, word_runs
from nsad_cli.utils.latex import boxes
from nsad_cli.utils.terminal_text import MAX_CHARS, render_latex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(__file__).parent.parent / "nsad_cli"
CHARS = 50_000
MAX_SECONDS = 0.5
"""Processor time per text. Linear patterns take about 1 ms for so many characters, quadratic ones 2 s or more."""
UNITS = [
    *("(", "((a", "()", " ", "\t", "\n", "\\", "{", "}", "{}", "^", "^ ", "^{", "_{", "$", "${", "${a", "'", "-", "é"),
    *("9", "9.", "9,", "9 ", "a", "a ", "A. ", ". ", "one ", "one-", "<<", "<<a", "[asy]", "[asy] ", "http://", "sk-"),
    *("\\frac{", "\\frac ", "\\begin{a}", "\\boxed", "\\boxed ", "\\text{", "\\sqrt[", "\\ ", "\\overline ", "cuda:"),
]
ENDS = [("", ""), ("a", "b"), (". ", "!")]
DYNAMIC = {("problems/wordings.py", "compile"), ("dashboard/screens/votes_drawing.py", "compile")}
"""Patterns that are built when they are used: from texts of built-in problems, and a user's search as literal text."""


def hostile() -> Iterator[str]:
    for unit in UNITS:
        for start, end in ENDS:
            yield start + unit * (CHARS // len(unit)) + end


def patterns() -> dict[str, tuple[re.Pattern[str], str]]:
    """Every pattern by its place, with the function of `re` that uses it; outside of the grader."""
    found = {}
    dynamic = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        calls = _calls_of_re(path) if not name.startswith("grading/") else ()
        for call, function in calls:
            flags = re.DOTALL if "re.DOTALL" in ast.unparse(call) else re.NOFLAG
            try:
                pattern = _value(call.args[0], name)
            except NameError:  # it depends on local variables
                dynamic.add((name, function))
            else:
                found[f"{name}:{call.lineno}:{call.col_offset}"] = re.compile(pattern, flags), function
    assert dynamic == DYNAMIC, "a pattern that no test has seen"
    return found


def _value(expression: ast.expr, file: str) -> str:
    """The value of an expression of constants and of a module's names."""
    if isinstance(expression, ast.Constant):
        return str(expression.value)
    module = importlib.import_module(f"nsad_cli.{file.removesuffix('.py').replace('/', '.')}")
    return str(eval(compile(ast.Expression(expression), file, "eval"), vars(module)))


def _calls_of_re(path: Path) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if ast.unparse(node.func.value) == "re" and node.func.attr != "escape":
            yield node, node.func.attr


PATTERNS = patterns()


def seconds_of(work: Callable[[], object]) -> float:
    """The processor time of this thread, which other processes do not slow down much."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def takes_long(work: Callable[[], object]) -> bool:
    """Whether three runs take too long: a garbage collection of the whole process may fall into one."""
    return all(seconds_of(work) >= MAX_SECONDS for _ in range(3))


@pytest.mark.parametrize("place", list(PATTERNS))
def test_a_pattern_takes_linear_time(place: str) -> None:
    pattern, function = PATTERNS[place]
    for text in hostile():
        if function in ("match", "fullmatch"):
            long = takes_long(lambda text=text: getattr(pattern, function)(text))  # type: ignore[misc]
        else:
            long = takes_long(lambda text=text: sum(1 for _ in pattern.finditer(text)))  # type: ignore[misc]
        assert not long, (place, text[:20])


@pytest.mark.parametrize(
    "work",
    [
        without_units,
        without_numbers,
        lambda text: list(word_runs(text)),
        boxes,
        lambda text: render_latex(text[:MAX_CHARS]),
    ],
    ids=["units", "numbers", "words", "boxes", "latex"],
)
def test_what_is_built_of_patterns_takes_linear_time(work: Callable[[str], object]) -> None:
    for text in hostile():
        assert not takes_long(lambda text=text: work(text)), text[:20]  # type: ignore[misc]


def test_the_limit_finds_a_quadratic_pattern() -> None:
    assert takes_long(lambda: re.search(r"\[asy\].*?\[/asy\]", "[asy]" * (CHARS // 5)))


def test_a_figure_without_an_end_is_text() -> None:
    words = "one two three four five six seven eight nine ten eleven twelve"
    assert next(word_runs(f"[asy] draw [/asy] {words} [asy] thirteen")) == f"{words} asy"


def test_units_in_parentheses_are_removed() -> None:
    assert without_units("2  (a b) ; 3 (c); 4") == "2; 3; 4"
    assert without_units("(a)") == "(a)"
