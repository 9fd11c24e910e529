"""Cheap deciders: normalised strings (the semantics of MATH's string rules) and exact numbers."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

LONGEST = 400
_NUMBERS = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|(?<![\w.])-?\.\d+")
SCALES = frozenset(
    f"{word}{end}" for word in ("dozen", "hundred", "thousand", "million", "billion", "trillion") for end in ("", "s")
)
CHANGING = SCALES | {
    *("pi", "sqrt", "root", "sin", "cos", "tan", "log", "ln", "exp", "mod", "base", "power", "factorial", "infinity"),
    *("plus", "minus", "negative", "times", "over", "squared", "cubed", "square", "half", "third", "quarter", "not"),
    *("less", "more", "than", "least", "most", "between", "or", "and", "twice", "double", "triple", "loss", "below"),
    *("under", "above", "no", "tenth", "tenths", "hundredths", "thirds", "halves", "quarters", "fifths", "percent"),
    *("option", "step", "room", "part", "choice", "number", "question", "problem", "case", "page", "am", "pm"),
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    *("december", "zero", "tens", "cent", "cents"),
}
"""Words that make another value, or none, of the number beside them."""
NEAR = Fraction(1, 100)
"""Numbers that differ by less than one part in a hundred may be roundings: the second checker decides on them."""


def decide(a: str, b: str) -> bool | None:
    """Whether two answers are equal: True and False are proofs, None says that strings and numbers prove nothing.

    Equal normalised strings or equal exact numbers are equal. Two plain numbers that are far apart, or two different
    plain words, differ. A number in a few words ("7 in total") counts as that number beside a plain one; pairs of
    numbers are compared in order where one is in parentheses; clock times by hour, minute and half of the day.
    Symmetric, and reflexive on everything.
    """
    if a.strip() == b.strip():
        return True
    if len(a) > LONGEST or len(b) > LONGEST:
        return None
    x, y = normalise(a), normalise(b)
    if x == y:
        return True
    s, t = _clock(a), _clock(b)
    if s and t:
        half_known = bool(s[2]) == bool(t[2])
        same = s[:2] == t[:2] if half_known else (s[0] % 12, s[1]) == (t[0] % 12, t[1])
        return same and (s[2] == t[2] or not half_known)
    p, q = number(x), number(y)
    if (p is None) != (q is None):
        said = number_in_prose(a) if p is None else number_in_prose(b)
        # Words may change a number in ways not known here: they prove it equal, and never different.
        return True if said is not None and said in (p, q) else _in_order(x, y)
    if p is not None and q is not None:
        if p == q:
            return True
        return None if "%" in a + b or _near(p, q) else False
    if re.fullmatch(r"[a-z]{2,}(?: [a-z]+)*", x) and re.fullmatch(r"[a-z]{2,}(?: [a-z]+)*", y):
        return False
    return _in_order(x, y)


def undecidable(a: str, b: str) -> bool:
    """Whether two answers are one as ratios and two as times (1:15, 3:45), or as sets and as pairs (2,1, (1,2))."""
    if _one_is_bare_and_turned(normalise(a), normalise(b)):
        return True
    s, t = _clock(a), _clock(b)
    if s is None or t is None or s[2] or t[2]:
        return False
    return s != t and s[0] * t[1] == t[0] * s[1]


def is_prose(answer: str) -> bool:
    """Whether an answer is words alone, without a digit, an operator or a formula."""
    bare = re.sub(r"\\(?:text|mbox|mathrm|textbf|textit)\s*\{([^{}]*)\}", r"\1", answer)
    return bool(re.search(r"[A-Za-z]{2,}", bare)) and not re.search(r"[\d\\=+*/^<>]", bare)


def number_in_prose(answer: str) -> Fraction | None:
    """The one number of an answer in words: 7 of `7 in total`, `about 7`, `7 km/h`; None where words change it."""
    bare = re.sub(r"\\(?:text|mbox|mathrm)\s*\{([^{}]*)\}", r" \1 ", answer).replace("\\$", "").replace("\\%", "%")
    found = _NUMBERS.findall(bare)
    if len(found) != 1 or re.search(r"[\\=+*^<>(\[{|_!]", bare):
        return None
    words = re.findall(r"[A-Za-z]+", bare.replace(found[0], " ", 1))
    long = [word.lower() for word in words if len(word) > 1]
    unit = bool(re.search(r"\d\s+[mgshLCFKWN]$", bare.strip()))
    if not (long or unit) or CHANGING & set(long) or any(word in "xyznk" for word in words if len(word) == 1):
        return None
    return number(normalise(found[0]))


def numbers_of(answer: str) -> list[Fraction]:
    """Every plain number in an answer."""
    values = (number(normalise(text)) for text in _NUMBERS.findall(answer))
    return [value for value in values if value is not None]


def _clock(answer: str) -> tuple[int, int, str] | None:
    """Hour, minute and `a` or `p` of a time of the day; None for anything else."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})\s*(?:([ap])\.?\s*m\.?)?", answer.strip().strip("$").strip().lower())
    return (
        (int(match[1]), int(match[2]), match[3] or "") if match and int(match[1]) < 25 and int(match[2]) < 60 else None
    )


def _in_order(x: str, y: str) -> bool | None:
    """Decide two lists of plain numbers, one of them at least a tuple in parentheses; None for anything else."""
    lists = _number_lists(x, y)
    if lists is None or _one_is_bare_and_turned(x, y):
        return None
    if any(not _near(p, q) for p, q in zip(*lists, strict=True)):
        return False
    return True if lists[0] == lists[1] else None


def _one_is_bare_and_turned(x: str, y: str) -> bool:
    """Whether two lists have the same numbers in another order, and one, without parentheses, may be a set."""
    lists = _number_lists(x, y)
    if lists is None or all(text.startswith("(") for text in (x, y)):
        return False
    return lists[0] != lists[1] and Counter(lists[0]) == Counter(lists[1])


def _number_lists(x: str, y: str) -> tuple[list[Fraction], list[Fraction]] | None:
    """Two normalised answers as lists of plain numbers of one length, at least one of them in parentheses."""
    if max(len(x), len(y)) > LONGEST or not any(re.fullmatch(r"\(.*\)", text) for text in (x, y)):
        return None
    found = []
    for text in (x, y):
        values = [number(part) for part in text.removeprefix("(").removesuffix(")").split(",")]
        found.append([value for value in values if value is not None])
        if len(found[-1]) < len(values):
            return None
    first, second = found
    return (first, second) if len(first) == len(second) > 1 else None


def _near(p: Fraction, q: Fraction) -> bool:
    return p == q or abs(p - q) < NEAR * max(abs(p), abs(q))


def normalise(answer: str) -> str:
    r"""One spelling for many: \frac forms, units, degrees, percent, money, spacing, `x =`, .5, thousands separators."""
    text = answer.strip().replace("\n", " ").replace("−", "-").replace("\\!", "").replace("{,}", ",")
    text = re.sub(r"^\$+|\$+$|^\\[(\[]|\\[)\]]$", "", text).strip()
    text = re.sub(r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"\^\{?\s*\\circ\s*\}?|\\degrees?|°", "", text)
    text = re.sub(r"[€£¥]", "", text.replace("\\$", "").replace("$", "").replace("\\%", "").replace("%", ""))
    text = text.replace("\\varnothing", "\\emptyset")
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
    text = re.sub(r"(?<=\d)\s+and\s+(?=-?\d{1,2}(?!\d))", ",", text)  # 3 and 4 is 3,4
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
    if (
        unit
        and unit[1].strip().lower() not in CHANGING
        and re.search(r"[\d})]\s*$", re.sub(r"(?:\\[,;: ]|\s)+$", "", text[: unit.start()]))
    ):
        text = text[: unit.start()]
    text = re.sub(r"\\(?:text|mbox|mathrm|textbf|textit)\s*\{([^{}]*)\}", r"\1", text)
    worded = re.fullmatch(
        r"\s*(-?[\d,./]+)\s+(?!and\b|or\b|sin\b|cos\b|tan\b|log\b|pi\b)[a-zA-Z][a-z]{2,}(?: [a-z]+)*\s*", text
    )
    return worded[1] if worded and not CHANGING & set(re.findall("[a-z]+", text.lower())) else text


def _braces(text: str) -> str:
    r"""\frac12 is \frac{1}{2}, \sqrt3 is \sqrt{3}, x^{2} is x^2."""
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\frac\s*(\{[^{}]*\})\s*([0-9a-zA-Z])", r"\\frac\1{\2}", text)
    text = re.sub(r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}", text)
    text = re.sub(r"([\^_])\{([0-9a-zA-Z])\}", r"\1\2", text)
    return text
