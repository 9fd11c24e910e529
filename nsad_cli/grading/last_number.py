"""The last number of a text without a marker, if what stands around it does not make it another number."""

from __future__ import annotations

import re

from nsad_cli.grading.contradictions import DENIED, NUMBER, last_match
from nsad_cli.grading.equivalence.normalise import SCALE_WORDS
from nsad_cli.grading.equivalence.unit_table import UNITS
from nsad_cli.utils.latex import MAX_ANSWER_CHARS

_SENTENCE = re.compile(r"[.!?][)$\]]{0,3}\s+(?=\S)|\n\s{0,100}\n|[。！？]")
_NEGATED = re.compile(
    r"(?:\b(?:not|never|no longer|cannot)\b|n't\b)[^.,;:]*$"
    r"|\bI (?:do not|don't|cannot|can't|am not|was not) (?:know|determine|solve|able|sure|continue|find)\b",
    re.IGNORECASE,
)
_KEY = re.compile(r"[\"']([\w ]{1,40})[\"']\s{0,4}:\s{0,4}[\"'\[]?$")
_RESULT_KEYS = frozenset(
    ("answer", "final", "final_answer", "final answer", "result", "total", "value", "output", "solution")
)
_BEFORE = re.compile(
    r"(?:[\w)}\]%]\s{0,3}(?:[/*×·÷^]|\*\*|\\(?:times|cdot|div|pm)\s)\s{0,3}|[\d)}]\s{0,3}(?:[-+–:]|\bx)\s{0,3}|[<>≤≥≠^_√]\s{0,3}"
    r"|\\(?:sqrt|frac|[dtc]frac|binom|log|ln|sin|cos|tan|pi|le|ge|leq|geq|neq|ne|lt|gt)\s{0,3}|[\^_\w}\]]\{"
    r"|\b(?:more|less|fewer|greater|larger|smaller|higher|lower|other|rather|older|younger|bigger) than\s+"
    r"|\bat (?:least|most)\s+|\b(?:up|close|equation|eq\.?|step|part|problem|question|case|figure|fig\.?|table|page"
    r"|option|chapter|item|no\.|line|row|over|under|below|above|between|nearly|almost|divided by|multiplied by"
    r"|mod(?:ulo)?|minus|plus|times|negative|section|exceeds?|within|except|until|before|after|version)(?:\s+to)?\s*[(#]?\s*"
    r"|(?:%|\bpercent|\bout|\bhalf|\bthird|\bthirds|\bquarters?|\bfraction|\d)\s+of\s+\$?)$",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()\n]*[A-Za-z]{3,}[^()\n]*$")
_SPACED = (
    "dozen",
    "pair",
    "pairs",
    "couple",
    "couples",
    "score",
    "scores",
    "gross",
    "squared",
    "cubed",
    "halves",
    "thirds",
)
_CHANGING = "|".join(
    (*SCALE_WORDS, *_SPACED, "quarters", "fifths", "tenths", "hundredths", "tens", "k", "times", "factorial")
)
_AFTER = re.compile(
    rf"\s{{0,3}}(?:(?:{_CHANGING}|modulo|mod|below|above|less|more|fewer|[ap]\.?m)\b|[?/*^×÷!]|_(?!\{{?\d)|\+|\(mod"
    r"|(?:or|and) (?:more|less|fewer|above|below|over|so|higher|lower)\b|(?:out )?of \d"
    r"|\\(?:pi|sqrt|frac|cdot|times)|[π√]|\}\{)",
    re.IGNORECASE,
)
_GLUED = re.compile(r"[A-Za-z]+|_[A-Za-z]+")
_ORDINAL = ("st", "nd", "rd", "th", "s")


def last_number(text: str) -> str | None:
    """The last number, if the last sentence contains it, and nothing there denies or changes it."""
    found = last_match(NUMBER, text)
    if found is None:
        return None
    sentence = 0
    for end in _SENTENCE.finditer(text, 0, found.start()):
        sentence = end.end()
    first = max(sentence, found.start() - MAX_ANSWER_CHARS)
    before, rest = text[first : found.start()], text[found.end() :]
    if DENIED.search(text, sentence) or _NEGATED.search(before) or _SENTENCE.search(rest.rstrip()):
        return None
    return None if _changed(before, found[0], rest) else found[0].strip()


def _changed(before: str, number: str, rest: str) -> bool:
    """Whether the number is part of another one, of an expression or of an aside, or counts something else."""
    key = _KEY.search(before[-60:])
    if key:
        return key[1].lower() not in _RESULT_KEYS
    if number[0] in "-−" and re.search(r"[\d)}]\s?$", before):
        return True
    glued = _GLUED.match(rest)
    if glued and glued[0] not in UNITS and glued[0] not in _ORDINAL:
        return True
    return bool(_BEFORE.search(before[-60:]) or _AFTER.match(rest) or _ASIDE.search(before))
