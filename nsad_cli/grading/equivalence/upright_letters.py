r"""Letters in another font: \mathrm{i} and \mathbf{v} are the letters i and v; 5\,\mathrm{m} is five metres."""

from __future__ import annotations

import re

_LETTER = re.compile(
    r"(?P<space>\s|~|\\[ ,;:])?"
    r"\\(?P<font>mathrm|mathbf|mathit|mathsf|mathnormal|mathup|boldsymbol|bm|text|textrm|textit"
    r"|textbf|mbox|operatorname)\s*(?:\{(?P<braced>[A-Za-z])(?P<primes>'*)\}|\s(?P<bare>[A-Za-z])(?![A-Za-z]))"
)
_UNITS = "msghlLJNWVAKCFT"
"""Letters that are units after a number and a space."""
_TEXT = ("text", "textrm", "mbox")


def upright_letters(answer: str) -> str:
    """Replace single letters in another font by the plain letter, unless they are the unit of a number."""
    return _LETTER.sub(_plain, answer) if "\\" in answer else answer


def _plain(match: re.Match[str]) -> str:
    letter = match["braced"] or match["bare"]
    before = match.string[: match.start()]
    spaced = match["space"] or ""
    counted = before.rstrip(" ~")[-1:] in tuple("0123456789})")
    if letter in _UNITS and counted and (spaced or match["font"] in _TEXT) and not _in_product(match):
        return rf"\text{{ {letter}}}"
    gap = " " if before[-1:].isalpha() and not spaced else spaced
    return f"{gap}{letter}{match['primes'] or ''}"


def _in_product(match: re.Match[str]) -> bool:
    r"""Whether a letter goes on as a formula: 2\mathrm{A}x, 3 \mathrm{s}(t)."""
    return bool(re.match(r"\s*[A-Za-z(\\]", match.string[match.end() :])) and match["font"] not in _TEXT
