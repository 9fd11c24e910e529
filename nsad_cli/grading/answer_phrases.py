"""Sentences that state an answer: "the answer is x", "the correct option is B", the same in other languages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.normalise import SCALE_WORDS
from nsad_cli.grading.equivalence.units import UNIT_NAMES
from nsad_cli.utils.latex import MAX_ANSWER_CHARS

MAX_PHRASES = 64
"""Only this many are read, the last ones; a text with more of them is a repetition loop."""

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHER_LANGUAGES = (
    r"\bantwort\s+(?:ist|lautet)\b",
    r"\b(?:respuesta|solución)(?:\s+(?:final|correcta))?\s+(?:es|son)\b",
    r"\bréponse(?:\s+(?:finale|correcte))?\s+est\b",
    r"\brisposta(?:\s+(?:finale|corretta))?\s+è",
    r"\bresposta(?:\s+(?:final|correta))?\s+é",
    r"\bantwoord\s+is\b",
    r"\bsvaret\s+(?:är|er)\b",
    r"\bodpowiedź\s+to\b",
    r"\bđáp án(?:\s+(?:cuối cùng|đúng))?\s+là\b",
    r"\bjawaban(?:nya|\s+akhir(?:nya)?)?\s+adalah\b",
    r"\bответ(?:\s+(?:равен|это)|\s*[—–])",
    r"(?:答案|答)(?:应该|應該)?(?:是|为|為|等于|等於)",
    r"(?:答え|解答|正解)は",
    r"(?:정답|답)[은는]",
    r"उत्तर(?:\s+है)?(?=\s+[\d$\\])",
    r"উত্তর\s+(?:হল|হলো|হবে)",
    r"(?:الإجابة|الجواب)(?:\s+(?:النهائية|الصحيحة))?\s+هي?و?",
)
_OTHER_NAMES = (
    *(
        "antwort",
        "respuesta",
        "réponse",
        "risposta",
        "resposta",
        "antwoord",
        "odpowiedź",
        "đáp án",
        "đáp số",
        "jawaban",
    ),
    *(
        "cevap",
        "ответ",
        "答案",
        "答え",
        "정답",
        "답",
        "उत्तर",
        "উত্তর",
        "الإجابة",
        "الجواب",
        "svar",
        "vastaus",
        "відповідь",
    ),
)
_SPACE = r"(?P<space>\s{0,9}:?[ \t]{0,9}(?:\n\s{0,99})?)"
_ENGLISH = re.compile(
    r"(?:\banswer(?:\s+(?:to|for)\b[^.\n:]{0,80}?)?\s{0,9}(?:\bis\b|:|=)"
    rf"|\b(?:correct|right|best)\s+(?:option|choice|letter)\s{{0,3}}(?:\bis\b|:|=)){_SPACE}",
    re.IGNORECASE,
)
_ENGLISH_STEMS = ("answer", "correct", "right", "best")
_FOREIGN = re.compile(
    rf"(?:(?:{'|'.join(_OTHER_NAMES)})\s{{0,3}}:|{'|'.join(_OTHER_LANGUAGES)}){_SPACE}", re.IGNORECASE
)
_FOREIGN_STEMS = ("antwor", "antwoord", "respuesta", "risposta", "resposta", "svar", "jawaban", "cevap", "vastaus")
_HEADING = re.compile(
    r"^[ \t>#*✅-]{0,9}(?:the[ \t]+)?(?:final[ \t]+)?answer[ \t]{0,3}[.:]?[ \t]{0,9}\n(?P<space>\s{0,99})",
    re.IGNORECASE | re.MULTILINE,
)
_CHOSEN = re.compile(
    r"\b(?:option|choice|answer)\s+\(?([A-H])\)?\s+is\s+(?:the\s+)?(?:correct|right|best)\b", re.IGNORECASE
)
_COMPACT = re.compile(
    r"(?!\d{1,2}[.)]\s)[*_`$(\[]{0,4}(?:[-−+]?[$€£]?[ \t]?\d[\d,./]*[ \t]?(?:\\?%|[A-Za-z°][\w/^ ]{0,30})?|[A-H])"
    r"[*_`$)\].!]{0,5}\s*"
    r"|\$\$?[^$\n]{1,200}\$\$?\.?\s*|\\[(\[].*"
)
"""A line that is an answer and nothing else."""
# The end of the answer in a sentence: a line, a full stop (not an abbreviation's), a new clause.
_END = re.compile(
    r"\n|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bRs)(?<!\bSt)\.(?=\s|$)|(?<=[\w)\]}])[;,](?=\s[a-z])"
    r"|[。！？；।]|，(?!\d)|です|(?:입니다|이다)|\s{1,3}है"
)
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
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|assum\w+|whether)\s+(?:that\s+)?(?:\w+\s+){0,2}$"
    r"|\b(?:might|may|could|would|tempt\w+|many|some|most|students?|people|first|initially|naive\w*|wrongly|mistakenly)\b"
    r"[^.,;:\n]{0,60}\b(?:think|say|said|believe|guess|claim|conclude|answer|assume|thought|argue)\w*\s+(?:that\s+)?(?:the\s+)?$",
    re.IGNORECASE,
)
# A sentence of the prompt that small models repeat: "one line of the form: The answer is X."
_TEMPLATE = re.compile(r"\bof the form:?\s+[\"'“`]?(?:the\s+)?(?:final\s+)?$", re.IGNORECASE)
_NOT_BUT = re.compile(
    r"\s*not\s+[^\s.;]{1,40}?,?\s+(?:but(?:\s+rather)?|rather|instead|it(?:'s|\s+is|\s+must\s+be|\s+should\s+be))\s+(?=\S)",
    re.IGNORECASE,
)


def phrases(text: str) -> list[tuple[int, str]]:
    """Return the start and the answer of each sentence that states one."""
    lowered = text.lower()
    found = []
    if any(word in lowered for word in ("correct", "right", "best")):
        found = [(match.start(), match[1].upper()) for match in [*_CHOSEN.finditer(text)][-MAX_PHRASES:]]
    headings = [*_HEADING.finditer(text)][-MAX_PHRASES:] if "answer" in lowered else []
    for match in (*_matches(text, lowered), *headings):
        before = text[max(0, match.start() - MAX_ANSWER_CHARS) : match.start()]
        if _SUPPOSED.search(before) or _TEMPLATE.search(before):
            continue
        rest = text[match.end() : match.end() + 2 * MAX_ANSWER_CHARS]
        apart = match["space"].count("\n") > 1 or match.re is _HEADING
        if apart and not (_display(rest) or _COMPACT.fullmatch(rest.partition("\n")[0])):
            continue
        contrast = _NOT_BUT.match(rest)
        rest = rest[contrast.end() :] if contrast else rest
        said = _display(rest) or _formula(rest) or _clause(rest)
        if "\\boxed" not in said and "\\fbox" not in said and re.search(r"\w|\\infty|∞", said):
            found.append((match.start(), said))
    return found


def _matches(text: str, lowered: str) -> list[re.Match[str]]:
    """The last phrases that announce an answer; in ASCII they are looked for by their stems, which is faster."""
    if not text.isascii():
        found = [*_ENGLISH.finditer(text), *_FOREIGN.finditer(text)]
    else:
        starts = {at for stem in _ENGLISH_STEMS for at in _places(lowered, stem)}
        found = [match for at in sorted(starts) if (match := _ENGLISH.match(text, at))]
        if any(stem in lowered for stem in _FOREIGN_STEMS):
            found += _FOREIGN.finditer(text)
    return sorted(found, key=re.Match.start)[-MAX_PHRASES:]


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _display(rest: str) -> str | None:
    """The displayed formula at the start of a text."""
    display = re.match(
        r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\begin\{((?:equation|align|gather|displaymath)\*?)\}(.+?)\\end\{\3\}",
        rest,
        re.DOTALL,
    )
    if display is None:
        return None
    content = (display[1] or display[2] or display[4]).strip()
    tail = _TAIL.match(_clause(rest[display.end() :]))
    return content + (tail[0] if tail else "")


def _formula(rest: str) -> str | None:
    """The formula at the start of a text, with what changes its value after it: a unit, an operator, a formula."""
    formula = re.match(r"\$([^$]+)\$(?!\d)|\\\((.+?)\\\)", rest, re.DOTALL)
    if formula is None:
        return None
    content = formula[1] or formula[2]
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
