"""The first wrong step of a chain for display: a line about the checked steps, and the text with the step marked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.grading.step_checks import StepChecks, check_steps
from nsad_cli.utils.terminal_text import WRONG, escape_controls, render_latex

if TYPE_CHECKING:
    from collections.abc import Callable

OPEN, CLOSE = f"{WRONG}«", "»"
"""The marks around a wrong step, so that it does not depend on colour."""
MAX_LENGTH = 60
"""The most characters of a wrong step in the line about the steps."""
_BEGIN, _END = "\U000f5a00", "\U000f5a01"
"""Private-use characters that stand for the marks while LaTeX is rendered."""

checked_steps = functools.lru_cache(maxsize=256)(check_steps)
"""`check_steps`, with the results for the last texts kept."""


def steps_line(text: str, checks: StepChecks | None = None) -> str:
    """Describe the checked steps of a chain in one line; empty if none was checked.

    Args:
        text: The chain.
        checks: Its checks; None computes them.

    Returns:
        A line such as "checked steps: 3 of 4 right; first wrong: `5 * 4 = 24`".
    """
    checks = checked_steps(text) if checks is None else checks
    if not checks.checked:
        return ""
    line = f"checked steps: {checks.right} of {checks.checked} right"
    if checks.first_wrong is None:
        return line
    start, end = checks.first_wrong
    step = " ".join(escape_controls(render_latex(text[start:end])).split())
    return f"{line}; first wrong: `{step if len(step) <= MAX_LENGTH else step[: MAX_LENGTH - 1] + '…'}`"


def marked_parts(text: str, place: tuple[int, int] | None, render: Callable[[str], str]) -> list[tuple[str, bool]]:
    """Render a text for display and split it at its wrong step, which is put between OPEN and CLOSE.

    The text is rendered as a whole, since a part of a formula may not be one.

    Args:
        text: The text.
        place: Where the wrong step begins and ends; a part outside the text is ignored. None marks nothing.
        render: Renders LaTeX and escapes control characters.

    Returns:
        The parts in order, each with whether it is the wrong step.
    """
    start, end = (0, 0) if place is None else (max(place[0], 0), min(place[1], len(text)))
    if start >= end or _BEGIN in text or _END in text:
        return [(render(text), False)]
    inside = text[start:end]
    start, end = start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())
    rendered = render(f"{text[:start]}{_BEGIN}{text[start:end]}{_END}{text[end:]}")
    before, begins, rest = rendered.partition(_BEGIN)
    step, ends, after = rest.partition(_END)
    if not (begins and ends):  # a command of LaTeX has swallowed a mark
        return [(render(text), False)]
    return [(before, False), (f"{OPEN}{step}{CLOSE}", True), (after, False)]


def steps_json(text: str) -> dict[str, Any]:
    """Convert the checks of a chain to a JSON object: checked, right, first_wrong ([start, end] or null)."""
    checks = checked_steps(text)
    first = None if checks.first_wrong is None else list(checks.first_wrong)
    return {"checked": checks.checked, "right": checks.right, "first_wrong": first}
