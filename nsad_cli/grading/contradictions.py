"""What stands after a stated answer and contradicts it: a denial, a correction, or a different number."""

from __future__ import annotations

import re
from collections import deque

from nsad_cli.grading.equivalence.normalise import is_prose

NUMBER = re.compile(r"(?<![\w.])[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")
_VALUE = re.compile(rf"[-−]?\\[dt]?frac\{{-?\d{{1,30}}\}}\{{\d{{1,30}}\}}|{NUMBER.pattern}")
_SECOND = re.compile(r"\}?\s*\$?,?\s*(?:and|or)\s+\$?(-?\d[\d.,/]*)(?![\w.]|[^.\n]{0,400}(?:\bis\b|\bare\b|=))")
DENIED = re.compile(
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
_CONTRAST = re.compile(
    r"\b(?:however|but(?!\s+not\b)|yet|hmm+|although|though|nevertheless|instead|rather|whereas|while|naive(?:ly)?|no(?=[,:.!;-])"
    r"|(?:double|cross)[- ]?check\w*|re-?(?:check|count|calculat|comput|consider|examin|evaluat|read|vis)\w*"
    r"|(?:check(?:s|ed|ing)?|verif\w+)(?!\w|\s+that\b)"
    r"|wait|oh|oops|sorry|apolog\w+|mistak\w+|errors?|wrong\w*|incorrect\w*|forg[eo]t\w*|overlook\w*"
    r"|mis(?:read|count|calculat|took|underst)\w*|missed|neglect\w*|ignor\w+|should|in fact|actually|truly"
    r"|(?:right|correct|true|real|actual) (?:answer|value|count|result|number|total|one)|second thought"
    r"|on the other hand|except|unless)\b",
    re.IGNORECASE,
)


def contradictions(answer: str, rest: str) -> tuple[str, ...]:
    r"""Find contradictions after an answer.

    Args:
        answer: The answer.
        rest: The text after it.

    Returns:
        A denial that there is an answer, a correction, a second answer (\boxed{4} and $8$), or the last number after
        a word of contrast or checking; it contradicts the answer only if the two are not equal.
    """
    found = [
        match[1].strip() for match in (_SECOND.match(rest), DENIED.search(rest), _TAKEN_BACK.search(rest)) if match
    ]
    contrast = None if is_prose(answer) or answer.strip("() .").isalpha() else _CONTRAST.search(rest)
    last = last_match(_VALUE, rest, contrast.end()) if contrast else None
    return (*found, last[0]) if last else tuple(found)


def last_match(pattern: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    """The last match of a pattern, from a position on."""
    found = deque(pattern.finditer(text, start), maxlen=1)
    return found[0] if found else None
