"""`nsad grade --review`: review verdicts in the terminal, one draw at a time, one key per verdict."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from nsad_cli.cli.console import err
from nsad_cli.errors import UsageError
from nsad_cli.grading.review_session import VERDICTS, QueuedReview, ReviewSession, review_items
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewItem, ReviewSource
from nsad_cli.utils.logs import note
from nsad_cli.utils.terminal_text import escape_controls

KEYS = "c right  w wrong  n no answer  g bad gold answer  s skip  u undo  m full text  q quit"
JUMP = "j jump to the sample of D−"
LABEL_WIDTH = 6
"""The width of the labels before the answers, in cells."""


def require_terminal() -> None:
    """Raise UsageError if stdin or stderr is not a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--review needs a terminal",
            "each rationale is shown on stderr and each verdict is a key press",
            "run it in a terminal, without redirecting stdin or stderr",
        )


def review(store: Store, params: str, sample: int) -> None:
    """Review the disputed draws, then `sample` random draws of D−; each verdict is stored immediately."""
    found = review_items(store.reviews.labels(params), sample)
    if found:
        _Reviewer(store, ReviewSession(found)).run()
    else:
        note(
            "nothing to review"
            if sample
            else "no draw is disputed; review a sample of D− with `nsad grade --review --sample 50`"
        )


class _Reviewer:
    """Shows the draws of a review session one after another and handles the keys."""

    def __init__(self, store: Store, session: ReviewSession) -> None:
        self.store, self.session, self.console = store, session, err()

    def run(self) -> None:
        """Handle keys until `q`."""
        self._show()
        while (key := _key()) != "q":
            if key == "u":
                self.session.undo(self.store)
            elif key == "j":
                self.session.skip_to_sample()
            elif key in VERDICTS:
                self.session.record(self.store, key)
            self._show(whole=key == "m")

    def _show(self, *, whole: bool = False) -> None:
        width, height = self.console.size
        item, last = self.session.item, self.session.last
        keys = [*wrapped(KEYS, width), *(wrapped(JUMP, width) if self.session.sample else [])]
        if last:
            keys += wrapped(f"(previous: {last})", width, "dim")
        if item is None:
            lines = wrapped("That was the last draw: u undoes it, q quits.", width)
        else:
            lines = screen(item, self.store.reviews.item(item.key), width, None if whole else height - len(keys) - 2)
        self.console.clear()
        for line in (*lines, Text(), *keys):
            self.console.print(line, no_wrap=True, overflow="crop", crop=True)


def screen(item: QueuedReview, doubt: ReviewItem, width: int, height: int | None) -> list[Text]:
    """Lay out a draw as lines.

    If the lines do not fit, the question is cut at its end and the rationale at its beginning, because the answer is
    at the end.

    Args:
        item: The draw's place in the review.
        doubt: The draw with its problem.
        width: The width of a line, in cells.
        height: The maximum number of lines (at least 12); None for all.

    Returns:
        The lines.
    """
    place = f"{item.queue.value} {item.number} of {item.total}"
    about = (doubt.teacher, doubt.problem.subject, doubt.problem.level)
    head = wrapped(" · ".join(filter(None, (place, *about))), width, "bold")
    facts = _facts(item, doubt, width, None if height is None else 2)
    question, chain = wrapped(doubt.problem.question, width), wrapped(doubt.text, width)
    title = "its rationale"
    if height is not None:
        head = head[:1]
        room = max(2, height - len(head) - len(facts) - 3)  # the rationale's title and two blank lines
        share = max(1, room - len(chain), room // 3)
        if len(question) > share:
            cut = len(question) - share + 1
            question = [*question[: share - 1], *wrapped(f"… {cut} more lines (m shows all)", width, "dim")[:1]]
        share = max(1, room - len(question))
        if len(chain) > share:
            title += f", without its first {len(chain) - share} lines (m shows all)"
            chain = chain[-share:]
    return [*head, *question, Text(), *facts, Text(), *wrapped(title, width, "dim")[:1], *chain]


def wrapped(text: str, width: int, style: str = "") -> list[Text]:
    """Wrap a text to lines of at most `width` cells; control characters are escaped."""
    escaped = Text(escape_controls(text.replace("\r\n", "\n")), style)
    return list(escaped.wrap(Console(width=width), width, overflow="fold"))


def _facts(item: QueuedReview, doubt: ReviewItem, width: int, most: int | None) -> list[Text]:
    """Lay out the gold answer, the extracted answer and the reason for the review, each in at most `most` lines."""
    why = "disputed: " if item.queue is ReviewSource.DISPUTED else "wrong: "
    lines = []
    for label, text in (("gold", doubt.problem.answer), ("read", doubt.answer or "–"), ("why", why + doubt.reason)):
        parts = wrapped(" ".join(text.split()), max(1, width - LABEL_WIDTH), "" if label == "why" else "bold")[:most]
        lines += [Text.assemble((f"{'' if i else label:<{LABEL_WIDTH}}", "dim"), part) for i, part in enumerate(parts)]
    return lines


def _key() -> str:
    """Read the next key, in lower case; return `q` if the terminal is gone.

    Several characters at once return an empty string: they are a paste, a function key or typed ahead of the display.
    """
    try:
        pressed = typer.getchar()
    except (EOFError, OSError):
        return "q"
    return "q" if not pressed else pressed.lower() if len(pressed) == 1 else ""
