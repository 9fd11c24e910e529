"""Normalisation of answers: spelling variants that do not change the value get one form."""

from __future__ import annotations

import re
from functools import lru_cache

from nsad_cli.grading.equivalence.unicode_latex import plain_signs
from nsad_cli.grading.equivalence.upright_letters import upright_letters

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


@lru_cache(CACHE_SIZE)
def normalise(answer: str) -> str:
    r"""Normalise \frac forms, units, degrees, percent, money, spacing, `x =`, .5 and thousands separators."""
    text = upright_letters(plain_signs(answer)).strip().replace("\n", " ").replace("\\!", "").replace("\\text{,}", ",")
    text = text.replace("{,}", ",").replace("{:}", ":").replace("**", "^")
    text = re.sub(r"(?<=\d)\s*x\s*(?=10\s*\^)|(?<=\d)\s+x\s+(?=\d)", r"\\times ", text)
    text = re.sub(r"(?<=\.)(\d*)(?:\\(?:bar|dot)\s*(?:\{(\d+)\}|(\d))|\((\d+)\))$", _period, text)
    text = re.sub(r"^\$+|\$+$|^\\[(\[]|\\[)\]]$", "", text).strip().rstrip(".,;").strip()
    if text.endswith("}") and text.count("}") == text.count("{") + 1:
        text = text[:-1]
    text = re.sub(r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = _DEGREES.sub("°" if _ANGLE.search(text) else "", text)  # sin 30° is not sin 30
    text = re.sub(r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|(\\prime)(?![a-zA-Z]))", _primes, text)
    text = re.sub(r"\\phantom\s*(?:\{[^{}]*\}|\S)", "", text)
    text = re.sub(r"(?<=\d)(?:\s*\^\s*\{?\s*\\(?:text|mbox)\{(?:st|nd|rd|th)\}\s*\}?|(?:st|nd|rd|th)\b)", "", text)
    text = re.sub(r"(?<![\\a-zA-Z])sqrt\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"[€£¥₹]", "", text.replace("\\$", "").replace("$", "").replace("\\%", "").replace("%", ""))
    text = re.sub(r"\\langle\s*([^<>]*?,[^<>]*?)\\rangle|(?<![\w)}\]])<([^<>=]*,[^<>=]*)>(?![\w(])", _vector, text)
    text = re.sub(r"\\varnothing|\\\{\s*\\\}", r"\\emptyset", text)
    text = re.sub(r"\\operatorname\s*\{(cis|sin|cos|tan)\}", r"\\\1 ", text)
    text = re.sub(r"\\mathbb\s*\{?\s*R\s*\}?", r"(-\\infty,\\infty)", text)
    text = re.sub(r"^\\(?:approx|sim)(?![a-zA-Z])", "", text)
    text = _texts(text)
    text = re.sub(r"(?<!\\)\\[,;: ]|\\quad|\\qquad|~", " ", text)  # not the \\ of a matrix before a space
    named = re.match(r"\s*[a-zA-Z](?:\^\{-1\})?(?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))(?=.)", text)
    if named and not re.search(r"(?:[,;}]|and|or)\s*[a-zA-Z](?:_\w+)?\s*=", text):  # x = 1, y = 2 keeps its names
        text = text[named.end() :]
    solved = re.fullmatch(r"([^=]*[\w})])\s*=\s*([a-zA-Z])\s*", text)
    if solved and not re.search(rf"(?<![a-zA-Z\\]){solved[2]}(?![a-zA-Z])", solved[1]):  # 2x + 1 = y
        text = solved[1]
    text = text.removesuffix("\\\\").strip().rstrip(".,;").strip()
    text = re.sub(r"^[\"'`“‘]+(.*?)[\"'`”’]+$", r"\1", text)
    text = _braces(text)
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d{1,3}(?: \d{3})+", text):
        text = re.sub(r"[, ]", "", text)
    if re.fullmatch(r"[A-Za-z][A-Za-z ]+", text):
        return re.sub(r"\s+", " ", text).lower()
    text = re.sub(r"(?<=\d)\s+and\s+(?=-?\d{1,2}(?!\d))", ",", text)  # 3 and 4 is 3,4
    text = re.sub(r"(?<=\d),\s+(?=\d{3}(?!\d))", ";", text)  # 81, 256 is not 81256
    text = re.sub(r"(\d)\s+(?=\d+\s*/\s*\d)", r"\1&", text)  # a mixed number keeps its space: 1 1/2
    text = re.sub(r"\\(sin|cos|tan)\s*\^\s*\{\s*-1\s*\}", r"\\arc\1", text)
    text = re.sub(r"(\\[a-z]+[\^_](?:\d|\{\d+\}))\s+(?=\d)", r"\1{}", text)
    text = re.sub(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", r"\1{}", text)  # \pi r is not \pir
    text = re.sub(r"(?<=\d)\s+(?=\d)", "__", text)  # and 3 4 is not 34
    text = re.sub(r"\s+", "", text)
    return re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)


def _vector(match: re.Match[str]) -> str:
    return f"({match[1] or match[2]})"


def _primes(match: re.Match[str]) -> str:
    return "'" * match[0].count("prime")


def _period(match: re.Match[str]) -> str:
    return rf"{match[1]}\overline{{{match[2] or match[3] or match[4]}}}"


def strip_text_macros(answer: str) -> str:
    r"""Remove the macros that set text, and the backslash of \$ and \%."""
    if "\\" not in answer:
        return answer
    text = re.sub(TEXT_MACRO + r"\s*\{([^{}]*)\}", r" \1 ", answer)
    return text.replace("\\$", "$").replace("\\%", "%").replace("\\ ", " ")


def is_prose(answer: str) -> bool:
    """Whether an answer consists of words, without a digit, an operator or a formula."""
    text = re.sub(TEXT_MACRO + r"\s*\{([^{}]*)\}", r"\1", answer)
    return bool(re.search(r"[A-Za-z]{2,}", text)) and not re.search(r"[\d\\=+*/^<>]", text)


def _texts(text: str) -> str:
    r"""Unwrap \text{B}, and drop a trailing \text{ cm} or a unit in words after a number."""
    whole = re.fullmatch(rf"\s*{TEXT_MACRO}\s*\{{([^{{}}]*)\}}\s*", text)
    if whole:
        text = whole[1].strip()
    unit = re.search(TEXT_MACRO + r"\s*\{([^{}]*)\}\s*(?:\^\s*\{?\d\}?)?\s*$", text)
    if (
        unit
        and not re.fullmatch(r"[A-Z]{1,3}", unit[1])  # 4\text{AB}
        and not VALUE_CHANGING_WORDS & set(re.findall("[a-z]+", unit[1].lower()))
        and re.search(r"[\d})]\s*$", re.sub(r"(?:\\[,;: ]|\s)+$", "", text[: unit.start()]))
    ):
        text = text[: unit.start()]
    text = re.sub(TEXT_MACRO + r"\s*\{([^{}]*)\}", r"\1", text)
    worded = re.fullmatch(
        rf"\s*(-?[\d,./]+|-?\d*\s*{_FRACTION})\s+(?:of\s+)?(?:an?\s+)?[a-zA-Z][a-z]{{2,}}(?: [a-z]+)*\s*", text
    )
    return worded[1] if worded and not VALUE_CHANGING_WORDS & set(re.findall("[a-z]+", text.lower())) else text


def _braces(text: str) -> str:
    r"""Normalise braces: \frac12 to \frac{1}{2}, \sqrt3 to \sqrt{3}, x^{2} to x^2."""
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\frac\s*(\{[^{}]*\})\s*([0-9a-zA-Z])", r"\\frac\1{\2}", text)
    text = re.sub(r"\\frac\s*(\\pi|\d)\s*(\\pi|\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}", text)
    text = re.sub(r"([\^_])\{([0-9a-zA-Z])\}(?!\d)", r"\1\2", text)
    return re.sub(r"\^(-?\d{2,})(?![\d.])", r"^{\1}", text)
