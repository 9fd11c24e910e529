"""Normalisation of answers: spelling variants that do not change the value get one form."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.unicode_latex import plain_signs
from nsad_cli.grading.equivalence.upright_letters import upright_letters

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FORMULA_CHARS = 400
"""Longer answers are compared as strings only."""
CACHE_SIZE = 2**15
TEXT_MACRO = r"\\(?:text|textnormal|textrm|textbf|textit|mbox|mathrm|mathbf|mathit|operatorname)"
SCALE_WORDS = {
    f"{word}{end}": size
    for word, size in (
        *(("dozen", 12), ("hundred", 100), ("thousand", 10**3)),
        *(("million", 10**6), ("billion", 10**9), ("trillion", 10**12)),
    )
    for end in ("", "s")
}
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degrees?(?![a-zA-Z])|°")
_ANGLE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc|cis)(?![a-zA-Z])|\\operatorname\{(?:sin|cos|tan|cis)\}")
_FRACTION = r"\\frac\{\d+\}\{\d+\}"
VALUE_CHANGING_WORDS = frozenset(
    (
        *("pi", "sqrt", "root", "sin", "cos", "tan", "log", "ln", "exp", "mod", "base", "power", "factorial"),
        *("infinity", "plus", "minus", "negative", "times", "over", "squared", "cubed", "square", "half", "third"),
        *("quarter", "not", "less", "more", "than", "least", "most", "between", "or", "and", "twice", "double"),
        *("triple", "loss", "below", "under", "above", "no", "tenth", "tenths", "hundredths", "thirds", "halves"),
        *("quarters", "fifths", "percent", "option", "step", "room", "part", "choice", "number", "question", "problem"),
        *("case", "page", "am", "pm", "january", "february", "march", "april", "may", "june", "july", "august"),
        *("september", "october", "november", "december", "zero", "tens", "cent", "cents", "never", "pair", "pairs"),
        *("couple", "couples", "score", "scores", "gross", "remainder"),
        *SCALE_WORDS,
    )
)
"""Words that change the value of a number next to them."""


_SIMPLE = re.compile(r"-?\d+(?:\.\d+|/\d+)?|-?\\[dtc]?frac\{\d+\}\{\d+\}", re.ASCII)
"""Numbers and fractions of digits alone: normalising them changes the name of the fraction only."""
Step = tuple[str, re.Pattern[str], "str | Callable[[re.Match[str]], str]"]
"""What a text must contain for the step to change it (checked first: that is faster), a pattern, and a replacement."""


def is_simple(answer: str) -> bool:
    """Whether an answer is a number or a fraction of digits alone."""
    return _SIMPLE.fullmatch(answer) is not None


@lru_cache(CACHE_SIZE)
def normalise(answer: str) -> str:
    r"""Normalise \frac forms, units, degrees, percent, money, spacing, `x =`, .5 and thousands separators."""
    if _SIMPLE.fullmatch(answer):
        return re.sub("[dtc]frac", "frac", answer) if "\\" in answer else answer
    text = upright_letters(plain_signs(answer)).strip().replace("\n", " ").replace("\\!", "").replace("\\text{,}", ",")
    text = text.replace("{,}", ",").replace("{:}", ":").replace("**", "^")
    text = _apply(_OUTER, text).strip().rstrip(".,;").strip()
    if text.endswith("}") and text.count("}") == text.count("{") + 1:
        text = text[:-1]
    text = _apply(_COMMANDS, text)
    if "\\" in text or "°" in text:
        text = _DEGREES.sub("°" if _ANGLE.search(text) else "", text)  # sin 30° is not sin 30
    text = _apply(_MARKS, text)
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "").replace("%", "")
    text = _apply(_SETS, text if text.isascii() else _MONEY.sub("", text))
    text = _without_name(_apply(_SPACES, _texts(text)))
    text = text.removesuffix("\\\\").strip().rstrip(".,;").strip()
    text = _braces(_QUOTED.sub(r"\1", text))
    if _THOUSANDS.fullmatch(text):
        text = re.sub(r"[, ]", "", text)
    if _WORDS.fullmatch(text):
        return re.sub(r"\s+", " ", text).lower()
    return _apply(_LISTS, text)


def _apply(steps: tuple[Step, ...], text: str) -> str:
    for needed, pattern, replacement in steps:
        if needed in text:
            text = pattern.sub(replacement, text)
    return text


def _without_name(text: str) -> str:
    """Remove the name of a value: x of `x = 5`, y of `2x + 1 = y`."""
    named = _NAMED.match(text)
    if named and not re.search(r"(?:[,;}]|and|or)\s*[a-zA-Z](?:_\w+)?\s*=", text):  # x = 1, y = 2 keeps its names
        text = text[named.end() :]
    solved = _SOLVED.fullmatch(text) if "=" in text else None
    if solved and not re.search(rf"(?<![a-zA-Z\\]){solved[2]}(?![a-zA-Z])", solved[1]):  # 2x + 1 = y
        text = solved[1]
    return text


def _vector(match: re.Match[str]) -> str:
    return f"({match[1] or match[2]})"


def _primes(match: re.Match[str]) -> str:
    return "'" * match[0].count("prime")


def _period(match: re.Match[str]) -> str:
    return rf"{match[1]}\overline{{{match[2] or match[3] or match[4]}}}"


@lru_cache(CACHE_SIZE)
def strip_text_macros(answer: str) -> str:
    r"""Remove the macros that set text, and the backslash of \$ and \%."""
    if "\\" not in answer:
        return answer
    text = _TEXT.sub(r" \1 ", answer)
    return text.replace("\\$", "$").replace("\\%", "%").replace("\\ ", " ")


def is_prose(answer: str) -> bool:
    """Whether an answer consists of words, without a digit, an operator or a formula."""
    text = _TEXT.sub(r"\1", answer)
    return bool(re.search(r"[A-Za-z]{2,}", text)) and not re.search(r"[\d\\=+*/^<>]", text)


def _texts(text: str) -> str:
    r"""Unwrap \text{B}, and drop a trailing \text{ cm} or a unit in words after a number."""
    whole = _WHOLE_TEXT.fullmatch(text) if "\\" in text else None
    if whole:
        text = whole[1].strip()
    unit = _LAST_TEXT.search(text) if "\\" in text else None
    if (
        unit
        and not re.fullmatch(r"[A-Z]{1,3}", unit[1])  # 4\text{AB}
        and not VALUE_CHANGING_WORDS & set(re.findall("[a-z]+", unit[1].lower()))
        and re.search(r"[\d})]\s*$", re.sub(r"(?:\\[,;: ]|\s)+$", "", text[: unit.start()]))
    ):
        text = text[: unit.start()]
    text = _TEXT.sub(r"\1", text) if "\\" in text else text
    worded = _WORDED.fullmatch(text)
    return worded[1] if worded and not VALUE_CHANGING_WORDS & set(re.findall("[a-z]+", text.lower())) else text


def _braces(text: str) -> str:
    r"""Normalise braces: \frac12 to \frac{1}{2}, \sqrt3 to \sqrt{3}, x^{2} to x^2."""
    return _apply(_BRACED, text)


def _steps(*steps: tuple[str, str, str | Callable[[re.Match[str]], str]]) -> tuple[Step, ...]:
    return tuple((needed, re.compile(pattern), replacement) for needed, pattern, replacement in steps)


_TEXT = re.compile(TEXT_MACRO + r"\s*\{([^{}]*)\}")
_WHOLE_TEXT = re.compile(rf"\s*{TEXT_MACRO}\s*\{{([^{{}}]*)\}}\s*")
_LAST_TEXT = re.compile(TEXT_MACRO + r"\s*\{([^{}]*)\}\s*(?:\^\s*\{?\d\}?)?\s*$")
_WORDED = re.compile(rf"\s*(-?[\d,./]+|-?\d*\s*{_FRACTION})\s+(?:of\s+)?(?:an?\s+)?[a-zA-Z][a-z]{{2,}}(?: [a-z]+)*\s*")
_NAMED = re.compile(r"\s*[a-zA-Z](?:\^\{-1\})?(?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))(?=.)")
_SOLVED = re.compile(r"([^=]*[\w})])\s*=\s*([a-zA-Z])\s*")
_QUOTED = re.compile(r"^[\"'`“‘]+(.*?)[\"'`”’]+$")
_MONEY = re.compile(r"[€£¥₹]")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d{1,3}(?: \d{3})+")
_WORDS = re.compile(r"[A-Za-z][A-Za-z ]+")
_OUTER = _steps(
    ("x", r"(?<=\d)\s*x\s*(?=10\s*\^)|(?<=\d)\s+x\s+(?=\d)", r"\\times "),
    (".", r"(?<=\.)(\d*)(?:\\(?:bar|dot)\s*(?:\{(\d+)\}|(\d))|\((\d+)\))$", _period),
    ("", r"^\$+|\$+$|^\\[(\[]|\\[)\]]$", ""),
)
_COMMANDS = _steps(
    ("\\", r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])", ""),
    ("\\", r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
)
_MARKS = _steps(
    ("\\prime", r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|(\\prime)(?![a-zA-Z]))", _primes),
    ("\\phantom", r"\\phantom\s*(?:\{[^{}]*\}|\S)", ""),
    ("", r"(?<=\d)(?:\s*\^\s*\{?\s*\\(?:text|mbox)\{(?:st|nd|rd|th)\}\s*\}?|(?:st|nd|rd|th)\b)", ""),
    ("sqrt(", r"(?<![\\a-zA-Z])sqrt\(([^()]*)\)", r"\\sqrt{\1}"),
)
_SETS = _steps(
    (",", r"\\langle\s*([^<>]*?,[^<>]*?)\\rangle|(?<![\w)}\]])<([^<>=]*,[^<>=]*)>(?![\w(])", _vector),
    ("\\", r"\\varnothing|\\\{\s*\\\}", r"\\emptyset"),
    ("\\operatorname", r"\\operatorname\s*\{(cis|sin|cos|tan)\}", r"\\\1 "),
    ("\\mathbb", r"\\mathbb\s*\{?\s*R\s*\}?", r"(-\\infty,\\infty)"),
    ("\\", r"^\\(?:approx|sim)(?![a-zA-Z])", ""),
)
_SPACES = _steps(
    ("\\", r"(?<!\\)\\[,;: ]|\\quad|\\qquad", " "),  # not the \\ of a matrix before a space
    ("~", "~", " "),
)
_BRACED = _steps(
    ("\\frac", r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
    ("\\frac", r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{"),
    ("\\frac", r"\\frac\s*(\{[^{}]*\})\s*([0-9a-zA-Z])", r"\\frac\1{\2}"),
    ("\\frac", r"\\frac\s*(\\pi|\d)\s*(\\pi|\d)", r"\\frac{\1}{\2}"),
    ("\\sqrt", r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
    ("{", r"([\^_])\{([0-9a-zA-Z])\}(?!\d)", r"\1\2"),
    ("^", r"\^(-?\d{2,})(?![\d.])", r"^{\1}"),
)
_LISTS = _steps(
    ("and", r"(?<=\d)\s+and\s+(?=-?\d{1,2}(?!\d))", ","),  # 3 and 4 is 3,4
    (",", r"(?<=\d),\s+(?=\d{3}(?!\d))", ";"),  # 81, 256 is not 81256
    ("/", r"(\d)\s+(?=\d+\s*/\s*\d)", r"\1&"),  # a mixed number keeps its space: 1 1/2
    ("\\", r"\\(sin|cos|tan)\s*\^\s*\{\s*-1\s*\}", r"\\arc\1"),
    ("\\", r"(\\[a-z]+[\^_](?:\d|\{\d+\}))\s+(?=\d)", r"\1{}"),
    ("\\", r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", r"\1{}"),  # \pi r is not \pir
    ("", r"(?<=\d)\s+(?=\d)", "__"),  # and 3 4 is not 34
    ("", r"\s+", ""),
    (".", r"(?<![\d.])\.(?=\d)", "0."),
)
