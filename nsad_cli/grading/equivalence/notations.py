"""Rules for numerals and pairs of numbers that are not arithmetic: dates, ranges, hexadecimal, Roman, labels."""

from __future__ import annotations

import re
from functools import lru_cache

from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, UNDECIDABLE, Decision
from nsad_cli.grading.equivalence.exact_values import number
from nsad_cli.grading.equivalence.normalise import CACHE_SIZE, strip_text_macros

_NUMBER = r"\d+(?:[.,]\d+)*"
_DATE = re.compile(
    r"\d{1,2}([/.-])\d{1,2}\1(?:\d{4}|0\d)|\d{1,2}/\d{1,2}/\d{2}|\d{4}([/.-])\d{1,2}\2\d{1,2}(?:T.*)?", re.ASCII
)
_RANGE = re.compile(
    rf"{_NUMBER}(?:\s*%|\s+[a-zA-Z]{{2,}})?\s*(?:-{{1,3}}|[–—−])\s*{_NUMBER}(?:\s*%|\s+[a-zA-Z]{{2}}[\w ]*)?",
    re.ASCII,
)
_PLAIN_RANGE = re.compile(r"(\d{1,9})\s*[-–—−]\s*(\d{1,9})", re.ASCII)
_PROGRAMMED = re.compile(r"(-?)0(?:x([0-9a-f]+)|o([0-7]+)|b([01]+))", re.IGNORECASE | re.ASCII)
_DIGITS = re.compile(r"(?=.*[A-Fa-f])[0-9A-Fa-f]{2,16}", re.ASCII)
_ROMAN = re.compile(r"(?=.)M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})", re.IGNORECASE)
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_LABEL = re.compile(
    r"(?<![\\a-zA-Z])(?:[A-Za-z]{1,2}\d+){1,8}[A-Za-z]{0,3}|(?<![\\a-zA-Z])[A-Z][A-Za-z]*\d+[A-Za-z\d]*"
)


@lru_cache(CACHE_SIZE)
def _bare(answer: str) -> str:
    return re.sub(r"\s+", " ", strip_text_macros(answer)).replace("$", "").strip(" .")


def dates(a: str, b: str, x: str, y: str) -> Decision | None:
    """A date or a range equals only what is written alike."""
    if not any(re.search(r"\d.*[-–—−/.].*\d", text) for text in (a, b)):
        return None
    first, second = _bare(a), _bare(b)
    if _outside(first, second) or _outside(second, first):
        return DIFFERENT
    for form in (_DATE, _RANGE):
        if not (form.fullmatch(first) or form.fullmatch(second)):
            continue
        alike = x == y or _squeezed(first) == _squeezed(second)
        return EQUAL if alike else UNDECIDABLE
    return None


def _outside(text: str, other: str) -> bool:
    """Whether a range or difference of two plain numbers excludes a plain number: 3-5 is not 9."""
    match, plain = _PLAIN_RANGE.fullmatch(text), number(other.replace(",", ""))
    if not match or plain is None:
        return False
    low, high = int(match[1]), int(match[2])
    return not min(low, high) <= plain <= max(low, high) and plain not in (low - high, low + high, high - low)


def _squeezed(text: str) -> str:
    return re.sub(r"[-–—−]+", "-", re.sub(r"\s+", "", text)).lower()


def numerals(a: str, b: str, _x: str, _y: str) -> Decision | None:
    """Compare hexadecimal and Roman numerals; without a prefix they may be something else."""
    if not re.search("[A-Za-z]", a + b):
        return None
    first, second = _bare(a), _bare(b)
    values = [_programmed(text) for text in (first, second)]
    if None not in values:
        return EQUAL if values[0] == values[1] else DIFFERENT
    for text, other in ((first, second), (second, first)):
        value, plain = _programmed(text), number(other.replace(",", ""))
        if value is not None:
            return EQUAL if plain == value else UNDECIDABLE
        if plain is None or plain.denominator != 1:
            continue
        if (_ROMAN.fullmatch(text) and _roman(text) == plain) or (_DIGITS.fullmatch(text) and int(text, 16) == plain):
            return UNDECIDABLE
    return None


def _programmed(text: str) -> int | None:
    """The value of 0xFF, 0o17 or 0b101."""
    match = _PROGRAMMED.fullmatch(text)
    if not match:
        return None
    digits, base = next((found, base) for found, base in zip(match.groups()[1:], (16, 8, 2), strict=True) if found)
    return int(f"{match[1]}{digits}", base) if len(digits) < 64 else None


def _roman(text: str) -> int:
    values = [_ROMAN_VALUES[sign] for sign in text.upper()]
    return sum(-p if p < q else p for p, q in zip(values, [*values[1:], 0], strict=True))


def labels(_a: str, _b: str, x: str, y: str) -> Decision | None:
    """A label or chemical formula (CO2, H2O, A4) is no product of its letters and digits."""
    if x == y or not any(_LABEL.fullmatch(text) for text in (x, y)):
        return None
    return UNDECIDABLE if sorted(x.lower()) == sorted(y.lower()) else None
