"""Parser of numbers in words: seven, minus five, twenty-one, ten thousand, two thirds, half, a dozen."""

from __future__ import annotations

import re
from fractions import Fraction

from nsad_cli.grading.equivalence.normalise import SCALE_WORDS

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate(SMALL)},
    **{word: 10 * (place + 2) for place, word in enumerate(TENS)},
}
_PARTS = {
    f"{word}{end}": Fraction(1, size)
    for size, word in ((3, "third"), (4, "quarter"), (4, "fourth"), (5, "fifth"), (8, "eighth"), (10, "tenth"))
    for end in ("", "s")
} | {"half": Fraction(1, 2), "halves": Fraction(1, 2)}


def parse_number_words(answer: str) -> Fraction | None:
    """Parse an answer that consists of number words alone; None for anything else."""
    text = re.sub(r"\s+|(?<=[a-z])-(?=[a-z])", " ", answer.lower().strip(" ."))
    match = re.fullmatch(r"(minus |negative )?([a-z]+(?: [a-z]+)*)", text)
    if not match:
        return None
    words = re.sub("^an? ", "one ", match[2]).split()
    value = _PARTS["half"] if words == ["half"] else _value(words)
    return -value if value is not None and match[1] else value


def _value(words: list[str]) -> Fraction | None:
    if len(words) == 2 and words[1] in _PARTS and 0 < _VALUES.get(words[0], 0) < 10:
        return _VALUES[words[0]] * _PARTS[words[1]]
    total, group, last = 0, 0, 0
    for word in words:
        value, scale = _VALUES.get(word), SCALE_WORDS.get(word)
        if value is not None and (not group or (last >= 20 and value < 10) or (last == 100 and value)):
            group, last = group + value, value
        elif word == "hundred" and 0 < (group or 1) < 10:
            group, last = (group or 1) * 100, 100
        elif scale and scale != 100 and (group or len(words) == 1 or not total):
            total, group, last = total + (group or 1) * scale, 0, 0
        else:
            return None
    return Fraction(total + group)
