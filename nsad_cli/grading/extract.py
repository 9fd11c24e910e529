"""Extraction of the final answer from a rationale: explicit markers first, the last number as a weak fallback."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from nsad_cli.grading.equivalence.normalise import SCALE_WORDS, is_prose
from nsad_cli.grading.equivalence.text_answers import states_choice_or_number
from nsad_cli.grading.equivalence.units import UNIT_NAMES
from nsad_cli.utils.latex import MAX_ANSWER_CHARS, boxes

MAX_PHRASES = 64
"""Only this many are read, the last ones; a text with more of them is a repetition loop."""
MAX_OTHER_ANSWERS = 8
"""The maximum number of earlier answers that are compared with the last; one that differs is enough."""


class Marker(StrEnum):
    """The kind of text that an answer was extracted from."""

    BOXED = "boxed"
    HASH = "hash"
    A_LINE = "a"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last explicit answer of a text; `others` are different answers that are stated before or after it."""

    answer: str | None
    marker: Marker | None
    others: tuple[str, ...] = ()


_HASH = re.compile(r"(?<!#)####(?!#)[ \t]*(\S.*)$", re.MULTILINE)
_PLAIN = re.compile(r"[-−]?[$€£]?[ \t]*[\d.,/]+[ \t]*%?")
_A_LINE = re.compile(r"^[ \t]*(?:A|Answer)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE = re.compile(r"\banswer(?:\s+(?:to|for)\b[^.\n:]{0,80}?)?\s*(?:\bis\b|:|=)\s*:?[ \t]*\n?[ \t]*", re.IGNORECASE)
# The end of the answer in a sentence: a line, a full stop (not an abbreviation's), a new clause.
_END = re.compile(r"\n|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bRs)(?<!\bSt)\.(?=\s|$)|(?<=[\w)\]}])[;,](?=\s[a-z])")
# A list continues with a letter's value, or after a comma with a single letter or a last number: x = 3, y = 4; x, y.
_GOES_ON = re.compile(r"\s+(?:(?:and|or)\s+)?[a-zA-Z](?:_\w+|\([a-z]\))?\s*=")
_LISTS = re.compile(r"\s+(?:and\s+|or\s+)?[a-zA-Z]\s*(?:[,.)$]|$)|\s+(?:and|or)\s+[-\d\\$(]\S*\s*$", re.MULTILINE)
# What changes the value of the formula before it: a sign, a unit, another formula.
_COUNTED = (
    *SCALE_WORDS,
    *(name for name in UNIT_NAMES if name != "in"),
    r"in(?=\s*(?:[.,;]|$))",
    "percent",
    "per cent",
)
_UNIT = rf"(?:\s*\\?%|\s+(?:{'|'.join(_COUNTED)})\b(?:\s*(?:/|per)\s*[a-z]+)?)"
_JOINED = (
    r"(?:\s*(?:[-–+*/:=^]|,?\s*\b(?:and|or)\b|,|\b(?:to|of|times|out of|in|by|plus|minus|over|divided by|remainder)\b)?"
    r"\s*(?:\$[^$]+\$|(?<=[-–+*/:=^])\d+|(?<=[+*/=^]\s)\d[\d.]*|(?<=\w\s)\d[\d.,/]*(?=[\s.]|$)))"
)
_TAIL = re.compile(rf"(?:{_UNIT}|{_JOINED})*")
_COMPARES = re.compile(r"\s+(?:(?:more|less|fewer|greater|larger|smaller|higher|lower) than|to the|raised)\b")
_SUPPOSED = re.compile(r"\b(?:if|suppose|assum\w+|whether)\s+(?:that\s+)?(?:\w+\s+){0,2}$", re.IGNORECASE)
# A sentence of the prompt that small models repeat: "one line of the form: The answer is X."
_TEMPLATE = re.compile(r"\bof the form:?\s+[\"'“`]?(?:the\s+)?(?:final\s+)?$", re.IGNORECASE)
_NARRATES = re.compile(
    r"(?:not|never|no longer|found|obtained|calculated|computed|determined|derived|given|got|gotten|as follows"
    r"|simply the|in)\b",
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
_TAKEN_BACK = re.compile(
    r"(\bbut wait\b|\bwait\b(?:[,.!:]| no\b)|\bhold on\b|\boops\b|\bscratch that\b|\bon second thought\b"
    r"|\bcorrection[:,]|(?:^|(?<=[.!?]\s)|(?<=\n))actually\b"
    r"|\bI(?: have|'ve)? ma[dk]e an? (?:\w+ )?(?:mistake|error)\b"
    r"|\blet(?: me|'s| us) (?:re-?(?:check|do|calculate|compute|consider|think|examine|evaluate)"
    r"|correct|fix|try again|start over)\b"
    r"|\b(?:that|this|it|which)(?:'s| is| was)"
    r" (?:wrong|incorrect|impossible|not (?:right|correct|possible|valid|an option)))",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?:\b(?:not|never|no longer|cannot)\b|n't\b)[^.,;:]*$", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")


def extract(text: str, gold: str | None = None) -> Extraction:
    r"""Extract the final answer: \boxed or \fbox, `#### x`, a line `A: x`, "the answer is x"; else the last number.

    "The answer is correct" states no answer. Prose without a number or a formula is ignored if the gold answer is known
    not to be prose, or, if no gold answer is given, if the text states something else.

    Args:
        text: The rationale.
        gold: The gold answer, if it is known.
    """
    last = len(text.rstrip())
    found = sorted(
        [(start, content, Marker.BOXED) for start, content in boxes(text)]
        + [
            (match.start(), _tidy(match[1]), Marker.HASH)
            for match in _HASH.finditer(text)
            # Markdown headings have four signs too: an answer is a plain number, or the text's last line.
            if _PLAIN.fullmatch(_tidy(match[1])) or match.end() >= last
        ]
        + [
            (match.start(), _tidy(match[1]), Marker.A_LINE)
            for match in _A_LINE.finditer(text)
            if "\\boxed" not in match[1] and not _PHRASE.search(match[1])
        ]
        + [*_phrases(text)]
    )
    said = [(answer, marker) for _, answer, marker in found if answer and len(answer) <= MAX_ANSWER_CHARS]
    stated = [item for item in said if item[1] is Marker.BOXED or _is_answer(item[0])]
    if gold is not None and is_prose(gold):
        stated = said
    elif gold is None:
        stated = stated or said
    if stated:
        answer, marker = stated[-1]
        others = dict.fromkeys(other for other, _ in stated if other != answer)
        start = next(start for start, said, _ in reversed(found) if said == answer)
        behind = text[start:][: 10 * MAX_ANSWER_CHARS]
        contrary = () if is_prose(answer) else _contradictions(behind.partition(answer)[2] or behind)
        return Extraction(answer, marker, (*tuple(others)[-MAX_OTHER_ANSWERS:], *contrary))
    number = _last_number(text)
    return Extraction(number, Marker.LAST_NUMBER) if number else Extraction(None, None)


def _is_answer(answer: str) -> bool:
    """Whether words state an answer rather than describe it."""
    return not _NARRATES.match(answer) and (not is_prose(answer) or states_choice_or_number(answer))


def _contradictions(rest: str) -> tuple[str, ...]:
    r"""Contradictions after an answer: that there is none, a correction, or a second answer (\boxed{4} and $8$)."""
    found = (_SECOND.match(rest), _DENIED.search(rest), _TAKEN_BACK.search(rest))
    return tuple(match[1].strip() for match in found if match)


def _last_number(text: str) -> str | None:
    """The last number, if the last sentence contains it and denies neither it nor that there is an answer."""
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    found = numbers[-1]
    sentence = max((end.end() for end in _SENTENCE.finditer(text, 0, found.start())), default=0)
    rest = text[found.end() :]
    denied = _DENIED.search(text, sentence) or _NEGATED.search(
        text, max(sentence, found.start() - MAX_ANSWER_CHARS), found.start()
    )
    if denied or _SENTENCE.search(rest.rstrip()):
        return None
    return found[0].strip()


def _phrases(text: str) -> list[tuple[int, str, Marker]]:
    found = []
    for match in [*_PHRASE.finditer(text)][-MAX_PHRASES:]:
        before = max(0, match.start() - MAX_ANSWER_CHARS), match.start()
        if _SUPPOSED.search(text, *before) or _TEMPLATE.search(text, *before):
            continue
        rest = text[match.end() : match.end() + 2 * MAX_ANSWER_CHARS]
        said = _formula(rest) or _clause(rest)
        if "\\boxed" not in said and "\\fbox" not in said:
            found.append((match.start(), _tidy(said), Marker.PHRASE))
    return found


def _formula(rest: str) -> str | None:
    """The formula at the start of a text, with what changes its value after it: a unit, an operator, a formula."""
    formula = re.match(r"\$([^$]+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", rest, re.DOTALL)
    if formula is None:
        return None
    content = next(group for group in formula.groups() if group is not None)
    clause = _clause(rest[formula.end() :])
    tail = _TAIL.match(clause)
    end = tail.end() if tail else 0
    behind = clause if _COMPARES.match(clause, end) else clause[:end]
    return content + re.sub(r"(?<!\\)\$", "", behind)


def _clause(rest: str) -> str:
    """The start of a text up to the end of its clause, which closed brackets and the commas of a list do not end."""
    for end in _END.finditer(rest):
        before, after = rest[: end.start()], rest[end.end() :]
        listed = end[0] in (",", ";") and (_opened(before, after) or _GOES_ON.match(after))
        if not (listed or (end[0] == "," and _LISTS.match(after))):
            return before
    return rest


def _opened(before: str, after: str) -> bool:
    """Whether a bracket is open and closes in the same line."""
    opened = sum(before.count(sign) for sign in "([") - sum(before.count(sign) for sign in ")]")
    return opened > 0 and bool(re.match(r"[^\n]*[)\]]", after))


def _tidy(answer: str) -> str:
    text = answer.strip().rstrip(".").strip().strip("*").strip()
    opened, closed = (sum(map(text.count, signs)) for signs in (("(", "["), (")", "]")))
    return text[:-1] if closed > opened and text.endswith(")") else text  # (The answer is 1)
