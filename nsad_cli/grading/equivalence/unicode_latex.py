"""Conversion of Unicode mathematics, accented letters and markup to LaTeX and ASCII."""

from __future__ import annotations

import re
import unicodedata

_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "₀₁₂₃₄₅₆₇₈₉"
_LEVEL = str.maketrans(_RAISED + _LOWERED, "0123456789-+n0123456789")
_ACCENTS = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
_GREEK = ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega", "sigma", "tau", "rho", "pi")
_SIGNS = {
    "∞": r"\infty",
    "∪": r"\cup",
    "∩": r"\cap",
    "∅": r"\emptyset",
    "∈": r"\in",
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\neq",
    "×": r"\times",
    "·": r"\cdot",
    "⋅": r"\cdot",
    "÷": r"\div",
    "±": r"\pm",
    "≈": r"\approx",
    "ℝ": r"\mathbb{R}",
    "…": r"\dots",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    **{unicodedata.lookup(f"GREEK SMALL LETTER {name.replace('lambda', 'lamda')}"): f"\\{name}" for name in _GREEK},
}
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("−‐‑﹣", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2006\u2007\u2009\u200a\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        **dict.fromkeys("‘’′", "'"),
        **dict.fromkeys("“”″", '"'),
        "º": "°",
        "˚": "°",
        "⁄": "/",
        "∕": "/",
        "∗": "*",
    }
)
_FRACTIONS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_UNIT_SIGNS = frozenset("°€£¥¢₹")
"""Characters that the rules for units and money read."""
_MARKUP = re.compile(r"</?(?:b|i|em|strong|u|p|span|br)\s*/?>|<\|[a-z_]+\|>$|</s>$", re.IGNORECASE)


def plain_signs(text: str) -> str:
    """Convert an answer to ASCII if that keeps its meaning; other characters stay, and no rule reads them."""
    if "<" in text:
        text = _MARKUP.sub("", text)
    if text.isascii():
        return text
    text = text.translate(_ALIKE)
    # A dash is a minus sign, but between two numbers it may mean a range.
    text = re.sub(r"^(\W*)[–—](?=\s?[\d.\\a-z√])|(?<=[(,=^{])(\s*)–(?=[\d.\\a-z√])", r"\1\2-", text)
    text = re.sub(r"(?<=[a-zπ)}\]])(\s*)–|(?<=\d)(\s*)–(?=\s*[a-zπ√\\])", r"\1\2-", text)
    text = re.sub(rf"(\d?)([{_FRACTIONS}])", _fraction, text)
    text = re.sub(f"([{_LOWERED}]+)", r"_{\1}", re.sub(f"([{_RAISED}]+)", r"^{\1}", text)).translate(_LEVEL)
    # The root of a number, a letter or a parenthesised formula, but not of x²: that may be (√x)².
    text = re.sub(r"([√∛])\s*(?:(\d+(?:\.\d+)?|[a-zπ])|\(([^()]*)\))(?![\^\d.])", _root, text)
    text = "".join(_sign(sign) for sign in text)
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text))


def unknown_signs(text: str) -> bool:
    """Whether an answer contains characters that no rule can read."""
    return not text.isascii() and any(not sign.isascii() and sign not in _UNIT_SIGNS for sign in text)


def _sign(sign: str) -> str:
    latex = _SIGNS.get(sign, sign)
    return f"{latex} " if latex != sign and latex[-1].isalpha() else latex


def _root(match: re.Match[str]) -> str:
    return ("\\sqrt" if match[1] == "√" else "\\sqrt[3]") + f"{{{match[2] or match[3]}}}"


def _fraction(match: re.Match[str]) -> str:
    top, bottom = unicodedata.normalize("NFKD", match[2]).split("⁄")
    return rf"{match[1]}\frac{{{top}}}{{{bottom}}}"
