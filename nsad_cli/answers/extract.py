"""Reading the final answer out of a rationale: explicit markers first, the last number as a weak last resort."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST = 400
"""Characters; what is longer is no answer."""


class Marker(StrEnum):
    """What an answer was read from."""

    BOXED = "boxed"
    HASH = "hash"
    A_LINE = "a"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last explicit answer of a text; `others` are the different strings stated explicitly before it."""

    answer: str | None
    marker: Marker | None
    others: tuple[str, ...] = ()


_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*")
_HASH = re.compile(r"^.*####[ \t]*(\S.*)$", re.MULTILINE)
_A_LINE = re.compile(r"^[ \t]*(?:A|Answer)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE = re.compile(r"\banswer(?:\s+(?:to|for)\b[^.\n:]{0,80}?)?\s*(?:is|:|=)\s*:?[ \t]*\n?[ \t]*", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")


def extract(text: str) -> Extraction:
    r"""Read the final answer: \boxed or \fbox, `#### x`, a line `A: x`, "the answer is x"; else the last number."""
    found = sorted(
        [*_boxes(text)]
        + [(match.start(), _tidy(match[1]), Marker.HASH) for match in _HASH.finditer(text)]
        + [
            (match.start(), _tidy(match[1]), Marker.A_LINE)
            for match in _A_LINE.finditer(text)
            if "\\boxed" not in match[1]
        ]
        + [*_phrases(text)]
    )
    stated = [(answer, marker) for _, answer, marker in found if answer and len(answer) <= LONGEST]
    if stated:
        answer, marker = stated[-1]
        others = dict.fromkeys(other for other, _ in stated if other != answer)
        return Extraction(answer, marker, tuple(others))
    numbers = _NUMBER.findall(text)
    return Extraction(numbers[-1].strip(), Marker.LAST_NUMBER) if numbers else Extraction(None, None)


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed or \fbox, with nested braces; None without one."""
    boxes = list(_boxes(text))
    return boxes[-1][1] if boxes else None


def _boxes(text: str) -> list[tuple[int, str, Marker]]:
    found = []
    for match in _BOX.finditer(text):
        start = match.end()
        if start < len(text) and text[start] == "{":
            end = _closing(text, start)
            if end is not None:
                found.append((match.start(), text[start + 1 : end].strip(), Marker.BOXED))
        else:  # \boxed 5: what follows up to a space or the end of the formula
            bare = re.match(r"[^\s$]+", text[start:])
            if bare:
                found.append((match.start(), bare[0].strip(), Marker.BOXED))
    return found


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for index in range(start, min(len(text), start + 10 * LONGEST)):
        if text[index] == "{" and text[index - 1] != "\\":
            depth += 1
        elif text[index] == "}" and text[index - 1] != "\\":
            depth -= 1
            if depth == 0:
                return index
    return None


def _phrases(text: str) -> list[tuple[int, str, Marker]]:
    found = []
    for match in _PHRASE.finditer(text):
        rest = text[match.end() : match.end() + 2 * LONGEST]
        formula = re.match(r"\$([^$]+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", rest, re.DOTALL)
        if formula:
            said = next(group for group in formula.groups() if group is not None)
        else:
            said = re.split(r"\n|\.(?=\s|$)|(?<=\w)[;,](?=\s[a-z])", rest, maxsplit=1)[0]
        if "\\boxed" not in said and "\\fbox" not in said:
            found.append((match.start(), _tidy(said), Marker.PHRASE))
    return found


def _tidy(answer: str) -> str:
    return answer.strip().rstrip(".").strip().strip("*").strip()
