"""Extraction of the final answer from a rationale: explicit markers first, the last number as a weak fallback."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from nsad_cli.grading.answer_phrases import phrases
from nsad_cli.grading.contradictions import contradictions
from nsad_cli.grading.equivalence.normalise import is_prose
from nsad_cli.grading.equivalence.text_answers import choice, states_choice_or_number
from nsad_cli.grading.last_number import last_number
from nsad_cli.grading.reply_text import answer_text
from nsad_cli.utils.latex import MAX_ANSWER_CHARS, boxes

MAX_OTHER_ANSWERS = 8
"""The maximum number of earlier answers that are compared with the last; one that differs is enough."""


class Marker(StrEnum):
    """The kind of text that an answer was extracted from."""

    BOXED = "boxed"
    OPEN_BOX = "open_box"
    HASH = "hash"
    A_LINE = "a"
    FIELD = "field"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last explicit answer of a text; `others` are different answers that are stated before or after it.

    An OPEN_BOX is a last box without a closing brace: its answer may be cut short.
    """

    answer: str | None
    marker: Marker | None
    others: tuple[str, ...] = ()


_HASH = re.compile(r"(?<!#)####(?!#)[ \t]*(\S.*)$", re.MULTILINE)
_PLAIN = re.compile(r"[-−]?[$€£]?[ \t]*[\d.,/]+[ \t]*%?")
_A_LINE = re.compile(r"^[ \t]*(?:A|Answer)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_FIELD = re.compile(
    r"[\"'](?:final[_ ]?|correct[_ ]?)?answer[\"']\s{0,4}:\s{0,4}"
    r"(\"(?:[^\"\\\n]|\\.){0,400}\"|'[^'\n]{0,400}'|\[[^\[\]\n]{0,200}\]"
    r"|[^\s,}\]\"']{1,60})|<(?:final_?)?answer>(.{0,400}?)</(?:final_?)?answer>",
    re.IGNORECASE | re.DOTALL,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*(\{?)")
_BARE = re.compile(r"[-+−]?[\d.]*\d|\\(?!text|quad|boxed|fbox)[a-zA-Z(]+|\(|[A-H](?![a-zA-Z])")
"""The start of a box without braces; anything else is the name of the macro in a sentence."""
_NARRATES = re.compile(
    r"(?:not|never|no longer|found|obtained|calculated|computed|determined|derived|given|got|gotten|as follows"
    r"|simply the|in)\b",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"\b(?:half|halves|quarter|third|dozen|zero|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|\w+teen|twenty|thirty|forty|fifty|hundred|thousand|million)\b",
    re.IGNORECASE,
)
_MAX_WORDS = 6
_DECORATION = re.compile("[\\s✅✔☑🎉✨👍️]+$")


def extract(text: str, gold: str | None = None) -> Extraction:
    r"""Extract the final answer: \boxed or \fbox, `#### x`, a line `A: x`, "the answer is x"; else the last number.

    "The answer is correct" states no answer. Prose without a number or a formula is ignored if the gold answer is known
    not to be prose, or, if no gold answer is given, if the text states something else.

    Args:
        text: The rationale.
        gold: The gold answer, if it is known.
    """
    text = answer_text(text)
    found = _statements(text)
    said = [(start, answer, marker) for start, answer, marker in found if answer and len(answer) <= MAX_ANSWER_CHARS]
    stated = [item for item in said if item[2] is Marker.BOXED or _is_answer(item[1], gold)]
    if gold is not None and is_prose(gold):
        stated = said
    elif gold is None:
        stated = stated or said
    opened = _open_box(text, stated[-1][0] if stated else -1)
    if opened is not None:
        return _cut_short(opened, bool(stated))
    if stated:
        start, answer, marker = stated[-1]
        others = dict.fromkeys(other for _, other, _ in stated if other != answer)
        behind = text[start:]
        rest = behind.partition(answer)[2] or behind
        contrary = () if is_prose(answer) else contradictions(answer, rest)
        return Extraction(answer, marker, (*tuple(others)[-MAX_OTHER_ANSWERS:], *contrary))
    number = last_number(text)
    return Extraction(number, Marker.LAST_NUMBER) if number else Extraction(None, None)


def _statements(text: str) -> list[tuple[int, str, Marker]]:
    """Every statement of an answer, in the order of the text."""
    last = len(text.rstrip())
    found = [
        (start, content, Marker.BOXED)
        for start, content in boxes(text)
        if (box := _BOX.match(text, start)) and (box[1] or _BARE.match(content))
    ]
    found += [
        (match.start(), _tidy(match[1]), Marker.HASH)
        for match in _HASH.finditer(text)
        # Markdown headings have four signs too: an answer is a plain number, or the text's last line.
        if _PLAIN.fullmatch(_tidy(match[1])) or match.end() >= last
    ]
    said = phrases(text)
    inside = [start for start, _ in said]
    found += [
        (match.start(), _tidy(match[1]), Marker.A_LINE)
        for match in _A_LINE.finditer(text)
        if "\\boxed" not in match[1] and not any(match.start(1) <= start < match.end(1) for start in inside)
    ]
    for match in _FIELD.finditer(text):
        content = (match[1] or match[2] or "").strip().strip("\"'").strip()
        if "\\boxed" not in content and content.lower() not in ("null", "none"):
            found.append((match.start(), _tidy(content), Marker.FIELD))
    found += [(start, _tidy(answer), Marker.PHRASE) for start, answer in said]
    return sorted(found)


def _open_box(text: str, after: int) -> str | None:
    """The content of the last box after a position if it is not closed, or empty; None if there is none such."""
    closed = dict(boxes(text))
    last = None
    for match in _BOX.finditer(text, after + 1):
        if match[1]:
            last = match
    if last is None or closed.get(last.start()):
        return None
    if last.start() in closed:
        return ""
    content = re.split(r"[\n$]", text[last.end() :][: MAX_ANSWER_CHARS + 1])[0].strip()
    return content if len(content) <= MAX_ANSWER_CHARS else ""


def _cut_short(content: str, has_others: bool) -> Extraction:
    """What a last box without a closing brace states: nothing if it is empty, and never an earlier answer."""
    if not content:
        return Extraction(None, None)
    begun = re.match(r"(-?\d[\d.,]*)\s*[-+*/^]\s*$", content)
    if begun and not has_others:
        return Extraction(begun[1], Marker.LAST_NUMBER, (content,))
    return Extraction(content, Marker.OPEN_BOX)


def _is_answer(answer: str, gold: str | None) -> bool:
    """Whether words state an answer rather than describe it."""
    if _NARRATES.match(answer):
        return gold is not None and choice(gold) is not None and choice(answer[4:]) is not None
    if not is_prose(answer) or states_choice_or_number(answer):
        return True
    return bool(_QUANTITY.search(answer)) and len(answer.split()) <= _MAX_WORDS


def _tidy(answer: str) -> str:
    text = _DECORATION.sub("", answer).strip().rstrip(".").strip().strip("*").strip()
    opened, closed = (sum(map(text.count, signs)) for signs in (("(", "["), (")", "]")))
    return text[:-1] if closed > opened and text.endswith(")") else text  # (The answer is 1)
