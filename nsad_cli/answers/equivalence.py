"""Cheap deciders: normalised strings (the semantics of MATH's string rules) and exact numbers."""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 400
NEAR = Fraction(1, 100)
"""Numbers that differ by less than one part in a hundred may be roundings: the second checker decides on them."""


def decide(a: str, b: str) -> bool | None:
    """Whether two answers are equal: True and False are proofs, None says that strings and numbers prove nothing.

    Equal normalised strings or equal exact numbers are equal. Two plain numbers that are far apart, or two different
    plain words, differ. Symmetric, and reflexive on everything.
    """
    if a.strip() == b.strip():
        return True
    if len(a) > LONGEST or len(b) > LONGEST:
        return None
    x, y = normalise(a), normalise(b)
    if x == y:
        return True
    p, q = number(x), number(y)
    if p is not None and q is not None:
        if p == q:
            return True
        return None if "%" in a + b or abs(p - q) < NEAR * max(abs(p), abs(q)) else False
    if re.fullmatch(r"[a-z]{2,}(?: [a-z]+)*", x) and re.fullmatch(r"[a-z]{2,}(?: [a-z]+)*", y):
        return False
    return None


def normalise(answer: str) -> str:
    r"""One spelling for many: \frac forms, units, degrees, percent, money, spacing, `x =`, .5, thousands separators."""
    text = answer.strip().replace("\n", " ").replace("−", "-").replace("\\!", "").replace("{,}", ",")
    text = re.sub(r"^\$+|\$+$|^\\[(\[]|\\[)\]]$", "", text).strip()
    text = re.sub(r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"\^\{?\s*\\circ\s*\}?|\\degrees?|°", "", text)
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "").replace("%", "")
    text = _texts(text)
    text = re.sub(r"\\[,;: ]|\\quad|\\qquad|~", " ", text)
    text = re.sub(r"^\s*[a-zA-Z]\s*(?:=|\\in(?![a-z]))\s*", "", text)
    text = text.strip().rstrip(".").strip()
    text = re.sub(r"^[\"'`“‘]+(.*?)[\"'`”’]+$", r"\1", text)
    text = _braces(text)
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    if re.fullmatch(r"[A-Za-z][A-Za-z ]+", text):
        return re.sub(r"\s+", " ", text).lower()
    text = re.sub(r"(\d)\s+(?=\d+\s*/\s*\d)", r"\1&", text)  # a mixed number keeps its gap: 1 1/2
    text = re.sub(r"\s+", "", text)
    return re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)


def number(text: str) -> Fraction | None:
    """The exact value of a normalised plain number, fraction or mixed number; None for anything else."""
    if len(text) > 60:
        return None
    plain = r"\d+(?:\.\d*)?"
    match = re.fullmatch(r"([-+]?)(?:(\d+)&?)?(?:\\frac\{(\d+)\}\{(\d+)\}|(?<!\d)(\d+)/(\d+))", text)
    if (match and match[2] is not None) or match:
        top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
        if bottom == 0:
            return None
        value = int(match[2] or 0) + Fraction(top, bottom)
        return -value if match[1] == "-" else value
    match = re.fullmatch(rf"\\frac\{{(-?{plain})\}}\{{(-?{plain})\}}|(-?{plain})/(-?{plain})", text)
    if match:
        top_text, bottom_text = match[1] or match[3], match[2] or match[4]
        return Fraction(top_text) / Fraction(bottom_text) if Fraction(bottom_text) else None
    if re.fullmatch(rf"[-+]?{plain}", text) and text.isascii():
        return Fraction(text)
    return None


def _texts(text: str) -> str:
    r"""\text{B} alone is B; a trailing \text{ cm} is a unit and goes; a word unit behind a number goes."""
    whole = re.fullmatch(r"\s*\\(?:text|mbox|mathrm|textbf|textit)\s*\{([^{}]*)\}\s*", text)
    if whole:
        return whole[1].strip()
    unit = re.search(r"\\(?:text|mbox|mathrm)\s*\{([^{}]*)\}\s*(?:\^\s*\{?\d\}?)?\s*$", text)
    if unit and re.search(r"[\d})]\s*$", re.sub(r"(?:\\[,;: ]|\s)+$", "", text[: unit.start()])):
        text = text[: unit.start()]
    text = re.sub(r"\\(?:text|mbox|mathrm|textbf|textit)\s*\{([^{}]*)\}", r"\1", text)
    worded = re.fullmatch(
        r"\s*(-?[\d,./]+)\s+(?!and\b|or\b|sin\b|cos\b|tan\b|log\b|pi\b)[a-zA-Z][a-z]{2,}(?: [a-z]+)*\s*", text
    )
    return worded[1] if worded else text


def _braces(text: str) -> str:
    r"""\frac12 is \frac{1}{2}, \sqrt3 is \sqrt{3}, x^{2} is x^2."""
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\frac\s*(\{[^{}]*\})\s*([0-9a-zA-Z])", r"\\frac\1{\2}", text)
    text = re.sub(r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}", text)
    text = re.sub(r"([\^_])\{([0-9a-zA-Z])\}", r"\1\2", text)
    return text
