r"""Contents of \\boxed and \\fbox in LaTeX."""

from __future__ import annotations

import re

MAX_ANSWER_CHARS = 400
"""Maximum length of an answer, in characters."""
_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*")
_BRACE = re.compile(r"(?<!\\)[{}]")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last \boxed or \fbox, with nested braces; None if there is none."""
    found = boxes(text)
    return found[-1][1] if found else None


def boxes(text: str) -> list[tuple[int, str]]:
    r"""Return the start and the content of each \boxed and \fbox."""
    found = []
    matches = list(_BOX.finditer(text))
    closing = _closing_braces(text) if matches else {}
    for match in matches:
        start = match.end()
        if start < len(text) and text[start] == "{":
            end = closing.get(start, len(text))
            if end - start <= 10 * MAX_ANSWER_CHARS and end < len(text):
                found.append((match.start(), text[start + 1 : end].strip()))
        else:  # \boxed 5: the text up to a space or the end of the formula
            bare = re.match(r"[^\s$]+", text[start : start + MAX_ANSWER_CHARS + 1])
            if bare:
                found.append((match.start(), bare[0].strip()))
    return found


def _closing_braces(text: str) -> dict[int, int]:
    """Map the position of each opening brace to its closing one, in one pass."""
    closing: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif open_braces:
            closing[open_braces.pop()] = match.start()
    return closing
