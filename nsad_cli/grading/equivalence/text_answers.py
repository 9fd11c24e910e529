"""Rules for answers in words, for times of the day, and for strings that cannot be interpreted."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, UNDECIDABLE, Decision
from nsad_cli.grading.equivalence.exact_values import number, value_of
from nsad_cli.grading.equivalence.normalise import (
    CACHE_SIZE,
    TEXT_MACRO,
    VALUE_CHANGING_WORDS,
    is_prose,
    normalise,
    strip_text_macros,
)
from nsad_cli.grading.equivalence.number_words import SMALL, TENS, parse_number_words
from nsad_cli.grading.equivalence.unicode_latex import plain_signs, unknown_signs
from nsad_cli.grading.equivalence.upright_letters import upright_letters

if TYPE_CHECKING:
    from fractions import Fraction

_NUMBERS = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|(?<![\w.])-?\.\d+", re.ASCII)
_SHORT = frozenset(
    (
        *("of", "in", "to", "at", "on", "by", "km", "cm", "mm", "kg", "mg", "ml", "ft", "yd", "mi", "hr", "oz", "lb"),
        *("mb", "gb", "kb", "kw", "hz", "rs"),
    )
)
"""Words of two letters that are not a product of two variables."""
_QUANTITIES = frozenset(
    (
        *("first", "second", "fourth", "sixth", "seventh", "eighth", "ninth", "last"),
        *(*SMALL, *TENS, "once", "both", "all", "every", "single", "nil"),
        *(
            word
            for word in VALUE_CHANGING_WORDS
            if word not in ("no", "not", "never", "number", "infinity", "or", "and", "than", "less")
        ),
    )
)
"""Words that are or may be a number."""
_SYNONYMS = (
    frozenset(("yes", "true", "correct", "right", "always")),
    frozenset(
        ("no", "not", "none", "never", "nothing", "false", "impossible", "undefined", "empty", "without", "zero")
    ),
)
"""Words that may mean the same."""
_UNFINISHED = re.compile(
    r"\\(?:[lcdv]?dots[a-z]?|aleph|underbrace|overbrace|ne|neq|setminus|cap|backslash|mid|forall)(?![a-zA-Z])|\.\.\."
)

_CHOICE_LETTER = re.compile("[A-Fa-f]")
_CLOCK_SIGN = re.compile(":|o'clock|[ap].*m", re.IGNORECASE | re.DOTALL)
_AROUND_SIGNS = re.compile(r"\s*([^\w\s])\s*")


def number_in_prose(answer: str) -> Fraction | None:
    """The only number of an answer in words: 7 for `7 in total`, `about 7`, `seven`; None if words change it."""
    text = strip_text_macros(answer).replace("$", "")
    in_words = parse_number_words(text)
    if in_words is not None:
        return in_words
    found = _NUMBERS.findall(text)
    if len(found) != 1 or re.search(r"[\\=+*^<>(\[{|_!]|[-−](?!\.?\d)|\d(?!st|nd|rd|th)[A-Za-z]", text):
        return None
    plain_words = re.findall(r"[A-Za-z]+", text.replace(found[0], " ", 1))
    long = [word.lower() for word in plain_words if len(word) > 1]
    unit = bool(re.search(r"\d\s+[mgshLCFKWN]$", text.strip()))
    known = any(len(word) > 2 or word in _SHORT for word in long)
    if (
        not (known or unit)
        or (VALUE_CHANGING_WORDS | {*SMALL, *TENS}) & set(long)
        or any(word in "xyznk" for word in plain_words if len(word) == 1)
    ):
        return None
    return number(normalise(found[0]))


def numbers_of(answer: str) -> list[Fraction]:
    """Return every plain number in an answer."""
    values = (number(normalise(text)) for text in _NUMBERS.findall(answer))
    return [value for value in values if value is not None]


@lru_cache(CACHE_SIZE)
def plain_percent(answer: str) -> str:
    """Convert an answer to plain characters, with a sign for the word percent and no repetition in words."""
    text = re.sub(r"^US(?=\\?\$)", "", upright_letters(plain_signs(answer)))
    text = re.sub(r"^\s*([\"'`])\1?([^\"'`]+)[\"'`]{1,2}\s*\.?\s*$", r"\2", text)
    repeated = re.fullmatch(r"(.*\d)\s*\(([a-z][a-z -]*)\)\s*\.?", text)
    if repeated and parse_number_words(repeated[2]) == number(normalise(repeated[1])) is not None:  # 7 (seven)
        text = repeated[1]
    return re.sub(r"\s*(?:\\text\{\s*)?\bper ?cent\b\s*\}?", "%", text)


def states_choice_or_number(answer: str) -> bool:
    """Whether words alone state a choice or a number: option B, two, pi, infinity."""
    text = answer.strip(" .").lower()
    return (
        choice(answer) is not None
        or parse_number_words(answer) is not None
        or bool(re.fullmatch(r"pi|(?:minus |-)?infinity", text))
        or bool(re.fullmatch(r"\(?[A-Ha-h]\)?(?:,? (?:or|and) \(?[A-Ha-h]\)?)+", text))
    )


def unreadable_formulas(a: str, b: str, x: str, y: str) -> Decision | None:
    """Undecidable: unequal formulas with dots, exceptions or conditions, which parsers truncate."""
    if x == y:
        named_alike = _name(a) == _name(b) or None in (_name(a), _name(b))
        return None if named_alike else UNDECIDABLE  # x = 3/2 and y = 3/2 may be two lines
    points_for_thousands = any(re.search(r"\d\.\d{3}(?:\.\d{3}|,\d)", text) for text in (x, y))
    if (
        points_for_thousands
        or _UNFINISHED.search(a + " " + b)
        or unknown_signs(a + b)
        or any(abs(text.count("{") - text.count("}")) > 2 for text in (x, y))
    ):
        return UNDECIDABLE
    return None


def same_strings(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare normalised strings; a space distinguishes a list of two numbers from a thousands separator."""
    if x.replace(";", ",") == y.replace(";", ",") or _squeezed(a) == _squeezed(b):
        return EQUAL
    if x.replace(".", ",") == y.replace(".", ","):  # a comma before decimals
        return UNDECIDABLE
    digits = [re.sub(r"[,;]|__", "", text) for text in (x, y)]
    return UNDECIDABLE if digits[0] == digits[1] and digits[0].isdecimal() else None


def clocks(a: str, b: str, _x: str, _y: str) -> Decision | None:
    """Compare times of the day; 1:15 and 3:45 are different times but equal ratios."""
    s, t = _clock(a), _clock(b)
    if s is None or t is None:
        return None
    if not s[3] and not t[3] and s != t and s[1] and s[0] * t[1] == t[0] * s[1]:
        return UNDECIDABLE
    first, second = (_hours(time, other) for time, other in ((s, t), (t, s)))
    if first == second:
        return EQUAL
    alike = (s[0] % 12, *s[1:3]) == (t[0] % 12, *t[1:3])
    return UNDECIDABLE if alike and not (s[3] and t[3]) else DIFFERENT  # 05:00 is written for 17:00 too


def plain_words(a: str, b: str, x: str, y: str) -> Decision | None:
    """Words differ if neither answer has all words of the other; words and a number, if no word is a number."""
    said = [frozenset(re.findall(r"[a-z]+", strip_text_macros(text).lower())) for text in (a, b)]
    prose = [is_prose(text) and value_of(form) is None for text, form in ((a, x), (b, y))]
    if all(prose):
        return _two_in_words(a, b, said[0], said[1])
    if not any(prose):
        same_numbers = numbers_of(strip_text_macros(a)) == numbers_of(strip_text_macros(b)) and re.search(
            "[A-Za-z]{4}", strip_text_macros(a) + strip_text_macros(b)
        )
        return (
            UNDECIDABLE
            if same_numbers and said[0] != said[1] and "\\" not in strip_text_macros(a) + strip_text_macros(b)
            else None
        )
    mine, prosaic, other = (said[0], a, y) if prose[0] else (said[1], b, x)
    value, counted = value_of(other), number_in_prose(prosaic)
    if value is not None and counted is not None and value.exact and not value.letters:
        return DIFFERENT
    if value is None or value.letters or mine & _QUANTITIES or value.points[0] == 0:
        return UNDECIDABLE  # all real numbers, none of them, zero
    return DIFFERENT


@lru_cache(CACHE_SIZE)
def choice(answer: str) -> tuple[str, str] | None:
    """Parse a choice's letter and the text next to it: (C), C), C alone, (C) 119."""
    if not _CHOICE_LETTER.search(answer):
        return None
    text = re.sub(rf"{TEXT_MACRO}\s*(?=[A-Z](?![a-zA-Z]))", " ", strip_text_macros(answer))
    text = re.sub(r"\\(?:left|right|quad|qquad|[,;: ])", " ", text).strip(" $.,;~\\")
    text = re.sub(r"^(?:[Tt]he )?(?:[Cc]orrect )?(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s*:?\s*(?=\(?[A-F]\b)", "", text)
    match = re.fullmatch(r"\(\s*([A-Fa-f])\s*\)\s*:?(.*)|([A-F])\s*[):.]\s*(.*)|([A-F])", text, re.DOTALL)
    if not match:
        return None
    rest = (match[2] or match[4] or "").strip(" ~\\$")
    another = re.match(r"\W*(?:and\b|or\b)?\W*[A-F](?![\w'])", rest)
    if another or (match[1] and match[1].islower() and rest):
        return None
    return (match[1] or match[3] or match[5]).upper(), rest


def has_capital(answer: str) -> bool:
    """Whether an answer contains a single capital letter, which may name a choice."""
    return bool(re.search(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", strip_text_macros(answer)))


@lru_cache(CACHE_SIZE)
def _squeezed(text: str) -> str:
    return _AROUND_SIGNS.sub(r"\1", text.strip())


def _name(answer: str) -> str | None:
    match = re.match(r"\s*\$?\s*([a-zA-Z])\s*=", answer)
    return match and match[1]


def _two_in_words(a: str, b: str, first: frozenset[str], second: frozenset[str]) -> Decision:
    lists = [[part.strip().lower() for part in re.split(r"[,;]|\band\b", strip_text_macros(text))] for text in (a, b)]
    if lists[0] == lists[1]:
        return EQUAL
    if Counter(lists[0]) == Counter(lists[1]):  # letters are a set, names may be ranked
        return EQUAL if all(len(part) == 1 for part in lists[0]) else UNDECIDABLE
    letters = [re.sub(r"\s+|(?<=\w)-(?=\w)", "", strip_text_macros(text).lower()) for text in (a, b)]
    if letters[0] == letters[1]:
        return EQUAL
    shortened = any(len(p) > 2 and q.startswith(p) for p, q in (letters, letters[::-1]))
    if shortened or any(first & plain_words and second & plain_words for plain_words in _SYNONYMS):
        return UNDECIDABLE
    return UNDECIDABLE if first < second or second < first else DIFFERENT


@lru_cache(CACHE_SIZE)
def _clock(answer: str) -> tuple[int, int, int, str] | None:
    """Hour, minute, second and `a` or `p` of a time of the day; None for anything else."""
    if not _CLOCK_SIGN.search(answer):
        return None
    text = strip_text_macros(answer).replace("\\!", "").replace("{:}", ":").strip().strip("$").strip().lower()
    text = re.sub(r"^(\d{1,2})\s*o'clock|^(\d{1,2})(?=\s*[ap]\.?\s*m\b)", r"\1\2:00", text)
    match = re.fullmatch(r"(\d{1,2})\s*:\s*(\d{2})(?:\s*:\s*(\d{2}))?\s*(?:([ap])\.?\s*m\.?)?", text, re.ASCII)
    if not match or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0), match[4] or ""


def _hours(time: tuple[int, int, int, str], other: tuple[int, int, int, str]) -> tuple[int, int, int]:
    """A time on the 24-hour clock; on the 12-hour clock if one of the two does not state am or pm."""
    hour, minute, second, half = time
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    both_known = all(t[3] or t[0] > 12 for t in (time, other)) or not (half or other[3])
    return (hour if both_known else hour % 12), minute, second
