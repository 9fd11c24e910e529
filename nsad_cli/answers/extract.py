"""Reading the final answer out of a rationale: explicit markers first, the last number as a weak last resort."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from nsad_cli.answers.spelling import is_prose

LONGEST = 400
"""Characters; what is longer is no answer."""

MOST_PHRASES = 64
"""The last ones; who says it more often than that repeats himself without end."""
MOST_OTHERS = 8
"""Earlier answers that are compared with the last; one that differs is enough."""


class Marker(StrEnum):
    """What an answer was read from."""

    BOXED = "boxed"
    HASH = "hash"
    A_LINE = "a"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last explicit answer of a text; `others` are the different strings stated explicitly, before it or after."""

    answer: str | None
    marker: Marker | None
    others: tuple[str, ...] = ()


_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*")
_BRACE = re.compile(r"(?<!\\)[{}]")
_HASH = re.compile(r"(?<!#)####(?!#)[ \t]*(\S.*)$", re.MULTILINE)
_PLAIN = re.compile(r"[-−]?[$€£]?[ \t]*[\d.,/]+[ \t]*%?")
_A_LINE = re.compile(r"^[ \t]*(?:A|Answer)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE = re.compile(r"\banswer(?:\s+(?:to|for)\b[^.\n:]{0,80}?)?\s*(?:\bis\b|:|=)\s*:?[ \t]*\n?[ \t]*", re.IGNORECASE)
# Where a sentence's answer ends: a line, a full stop (not an abbreviation's), a new clause.
_END = re.compile(r"\n|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bRs)(?<!\bSt)\.(?=\s|$)|(?<=\w)[;,](?=\s[a-z])")
_NARRATES = re.compile(
    r"(?:not|found|obtained|calculated|computed|determined|derived|given|got|gotten|as follows|simply the|in)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?][)$\]\s]*\s+(?=\S)|\n\s*\n")
_SECOND = re.compile(r"\}?\s*\$?,?\s*(?:and|or)\s+\$?(-?\d[\d.,/]*)(?![\w.]|[^.\n]*(?:\bis\b|\bare\b|=))")
_DENIED = re.compile(
    r"(\bthere (?:is|are|exists?) no (?:such|real|solution|value|answer|\$|constant)[^.\n]{0,60}"
    r"|\bno solutions? exists?|\b(?:is|are) (?:undefined|impossible|extraneous|contradictory)\b|\bdoes not exist\b"
    r"|\bmakes? no sense\b|\berror in the problem\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")


def extract(text: str, gold: str | None = None) -> Extraction:
    r"""Read the final answer: \boxed or \fbox, `#### x`, a line `A: x`, "the answer is x"; else the last number.

    "The answer is correct" states none. Prose without a number or a formula is passed over where the gold answer is
    known not to be prose, and, where none is known, where something else is stated.
    """
    last = len(text.rstrip())
    found = sorted(
        [*_boxes(text)]
        + [
            (match.start(), _tidy(match[1]), Marker.HASH)
            for match in _HASH.finditer(text)
            # Markdown headings have four signs too: an answer is a plain number, or the text's last line.
            if _PLAIN.fullmatch(_tidy(match[1])) or match.end() >= last
        ]
        + [
            (match.start(), _tidy(match[1]), Marker.A_LINE)
            for match in _A_LINE.finditer(text)
            if "\\boxed" not in match[1]
        ]
        + [*_phrases(text)]
    )
    said = [(answer, marker) for _, answer, marker in found if answer and len(answer) <= LONGEST]
    stated = [item for item in said if item[1] is Marker.BOXED or not (is_prose(item[0]) or _NARRATES.match(item[0]))]
    if gold is not None and is_prose(gold):
        stated = said
    elif gold is None:
        stated = stated or said
    if stated:
        answer, marker = stated[-1]
        others = dict.fromkeys(other for other, _ in stated if other != answer)
        start = next(start for start, said, _ in reversed(found) if said == answer)
        contrary = () if is_prose(answer) else _contrary(text[start:][: 10 * LONGEST].partition(answer)[2])
        return Extraction(answer, marker, (*tuple(others)[-MOST_OTHERS:], *contrary))
    number = _last_number(text)
    return Extraction(number, Marker.LAST_NUMBER) if number else Extraction(None, None)


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed or \fbox, with nested braces; None without one."""
    boxes = list(_boxes(text))
    return boxes[-1][1] if boxes else None


def _contrary(rest: str) -> tuple[str, ...]:
    r"""What the text behind an answer says against it: that there is none, or a second one (\boxed{4} and $8$)."""
    second = _SECOND.match(rest)
    denied = _DENIED.search(rest)
    return tuple(match[1].strip() for match in (second, denied) if match)


def _last_number(text: str) -> str | None:
    """The last number, where it stands in the last sentence, and that does not say that there is no answer."""
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    found = numbers[-1]
    sentence = max((end.end() for end in _SENTENCE.finditer(text, 0, found.start())), default=0)
    rest = text[found.end() :]
    if _SENTENCE.search(rest.rstrip()) or _DENIED.search(text, sentence):
        return None
    return found[0].strip()


def _boxes(text: str) -> list[tuple[int, str, Marker]]:
    found = []
    matches = list(_BOX.finditer(text))
    closing = _closing_braces(text) if matches else {}
    for match in matches:
        start = match.end()
        if start < len(text) and text[start] == "{":
            end = closing.get(start, len(text))
            if end - start <= 10 * LONGEST and end < len(text):
                found.append((match.start(), text[start + 1 : end].strip(), Marker.BOXED))
        else:  # \boxed 5: what follows up to a space or the end of the formula
            bare = re.match(r"[^\s$]+", text[start : start + LONGEST + 1])
            if bare:
                found.append((match.start(), bare[0].strip(), Marker.BOXED))
    return found


def _closing_braces(text: str) -> dict[int, int]:
    """Where each brace that is opened closes, in one pass."""
    closing: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif open_braces:
            closing[open_braces.pop()] = match.start()
    return closing


def _phrases(text: str) -> list[tuple[int, str, Marker]]:
    found = []
    for match in [*_PHRASE.finditer(text)][-MOST_PHRASES:]:
        rest = text[match.end() : match.end() + 2 * LONGEST]
        formula = re.match(r"\$([^$]+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", rest, re.DOTALL)
        if formula and not re.match(r"\s*(?:,|and\b|or\b)[\s,]*(?:and\b|or\b)?\s*[$\\]", rest[formula.end() :]):
            said = next(group for group in formula.groups() if group is not None)
        else:
            end = _END.search(rest)
            said = rest[: end.start()] if end else rest
        if "\\boxed" not in said and "\\fbox" not in said:
            found.append((match.start(), _tidy(said), Marker.PHRASE))
    return found


def _tidy(answer: str) -> str:
    return answer.strip().rstrip(".").strip().strip("*").strip()
