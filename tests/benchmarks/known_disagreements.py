"""Where math-verify is wrong: kinds of pairs of which every one in the two files was looked at."""

from __future__ import annotations

import re

EQUAL_AND_CALLED_DIFFERENT = (
    ("a choice's letter before its value or name", r"\((?:[A-F])\)|\\text\{[A-F]\.? ?\}"),
    ("a unit, or what is counted, in words", r"(?:\d|\\frac\{\d+\}\{\d+\}) ?(?:of a )?[a-zA-Z]{2,}[\w/ ^]*(?: \||$)"),
    ("a unit in words on both sides", r"\d\W+(?:\\text\{)? ?(?:dollars|euros|USD|million|cm)"),
    ("a full stop or a brace behind the answer", r"[\d}]\.$|-6\} \|"),
    ("letters in a list, quoted or spaced", r"^\"?[A-E](?:, ?[A-E])+\"? \||\\text\{E\}, \\text\{H\}"),
    ("a list with `and` before its last part", r"and \}|\b8, 10"),
    ("thousands separators within a fraction or before a letter", r"\d(?:,|\{,\}|\\!)+\d{3}"),
    ("percent as the number before the sign", r"\\%"),
    ("a date or a number in words", r"October 30|four"),
    ("a time of the day told in another way", r"\d\W{1,6}\d\d.* \| .*\d\W{1,6}\d\d"),
    ("a numeral's base, or its letters in \\text", r"A5"),
    ("complex numbers by their angle", r"e\^\{.*i|cis"),
    ("the imaginary unit beside a number", r"\di\b|\\sqrt\{3\} i|\(w - 2i\)|\\frac\{\d+i\}"),
    ("an inequality for an interval", r"(?:<|\\le) ?x ?<|x ?<.*x ?>|\\leq y"),
    ("a period of digits", r"\\overline"),
    ("an exponent that is a fraction without braces", r"\^\\frac"),
    ("the letter alone on the right side of an equation", r"= y \|"),
    ("roots of letters above zero", r"sqrt.*\^[37]"),
    ("matrices with bold entries, or with space between the rows", r"\\begin\{pmatrix\}"),
    ("trigonometric identities", r"\\(?:tan|cos|sin).*\\(?:sin|cos|sqrt)"),
)
DIFFERENT_AND_CALLED_EQUAL = (
    ("letters behind a number are lost: 2 + ab for 2", r"\d [+-] (?:\d+)?[a-z]+ \|"),
    ("a letter that is also a unit is lost", r"\{s\}"),
    ("\\phantom or \\frac\\pi 2 is cut short", r"\\phantom|\\frac\\pi 2"),
)


def reason(answer: str, gold: str, equal: bool) -> str | None:
    """Why math-verify is wrong on a pair that we call equal, or different; None where no reason is listed."""
    both = f"{answer} | {gold}"
    kinds = EQUAL_AND_CALLED_DIFFERENT if equal else DIFFERENT_AND_CALLED_EQUAL
    return next((why for why, pattern in kinds if re.search(pattern, both)), None)
