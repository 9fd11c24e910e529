r"""The tokens of a formula: numbers, operators, \frac, \sqrt, \pi, functions and letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d*)?"
    r"|\\(?:frac|sqrt|binom|pi|cdot|times|div|(?:arc)?(?:sin|cos|tan)|cis|cot|sec|csc|ln)(?![a-zA-Z])|\\log_(?:\d|\{\d+\})"
    r"|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|sigma|tau|rho)(?![a-zA-Z])"
    r"|pi(?![a-zA-Z])|[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]+\}))?|\\[{}]|[-+*/^!(){}\[\]|π·×°]",
    re.ASCII,
)
_WORDS = re.compile(
    r"(?<![\\a-zA-Z])[a-zA-Z]{3,}|(?<![\\a-zA-Z])(?:[ckm]m|[km]g|ml|mL|ft|in|mi|hr|oz|lb|am|pm|or|if|is|no|of|to|at|by(?=\d))(?![a-zA-Z])"
)
_GREEK = frozenset(
    f"\\{name}"
    for name in (
        *("alpha", "beta", "gamma", "delta", "theta", "lambda"),
        *("mu", "phi", "omega", "sigma", "tau", "rho"),
    )
)
_FACTOR_COMMANDS = ("\\frac", "\\sqrt", "\\binom", "\\pi")
PI_TOKENS = ("\\pi", "π", "pi")
TRIGONOMETRIC = ("\\sin", "\\cos", "\\tan", "\\cot", "\\sec", "\\csc", "\\cis")
INVERSE_TRIGONOMETRIC = ("\\arcsin", "\\arccos", "\\arctan")


def tokens_of(text: str) -> list[str] | None:
    """Split a normalised formula into tokens; None if it contains anything else."""
    if _WORDS.search(text):
        return None
    tokens = _TOKEN.findall(text.replace("{}", " "))
    return tokens if tokens and "".join(tokens) == text.replace("{}", "") else None


def is_letter(token: str) -> bool:
    r"""Whether a token is a letter that denotes a number: x, x_1, \theta; i and e too."""
    return (token[0].isalpha() and token not in PI_TOKENS) or token in _GREEK


def is_function(token: str) -> bool:
    """Whether a token is a function's name."""
    return token in (*TRIGONOMETRIC, *INVERSE_TRIGONOMETRIC, "\\ln") or token.startswith("\\log_")


def begins_factor(token: str) -> bool:
    """Whether a token can begin a factor, so that a product needs no operator before it."""
    if not token:
        return False
    return token[0].isalnum() or token[0] in "({π" or token in _GREEK or token in _FACTOR_COMMANDS or is_function(token)


def may_be_negative(tokens: Sequence[str]) -> bool:
    """Whether an expression may be below zero for some positive values of its letters.

    The letters' values lie between 1 and 2, so a difference of letters need not show it.
    """
    return any(is_letter(token) for token in tokens) and ("-" in tokens or "i" in tokens)
