"""`nsad grade --review`: a person settles verdicts, one draw on the screen at a time, one key each."""

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

KEYS = "c right  w wrong  n no answer  g bad gold answer  s skip  u undo  m all  q quit"
JUMP = "j on to the sample of D−"
LABEL = 6
"""Cells of the words before the answers."""


def require_terminal() -> None:
    """Raise UsageError where no person can see the draws and press keys."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--review needs a terminal",
            "a person has to see each rationale and press a key",
            "run it in a terminal, with neither input nor error output redirected",
        )


def review(store: Store, params: str, sample: int) -> None:
    """Have the disputed draws settled, then `sample` random ones of D−; every key is kept at once."""
    found = review_items(store.reviews.labels(params), sample)
    if found:
        _Reviewer(store, ReviewSession(found)).run()
    else:
        note(
            "nothing to review"
            if sample
            else "nothing is disputed; for a sample of D− there is `nsad grade --review --sample 50`"
        )


class _Reviewer:
    """The draws on the screen, one after the other."""

    def __init__(self, store: Store, settling: ReviewSession) -> None:
        self.store, self.settling, self.console = store, settling, err()

    def run(self) -> None:
        """Until the person quits."""
        self._show()
        while (key := _key()) != "q":
            if key == "u":
                self.settling.undo(self.store)
            elif key == "j":
                self.settling.skip_to_sample()
            elif key in VERDICTS:
                self.settling.record(self.store, key)
            self._show(whole=key == "m")

    def _show(self, *, whole: bool = False) -> None:
        width, height = self.console.size
        item, last = self.settling.item, self.settling.last
        keys = [*wrapped(KEYS, width), *(wrapped(JUMP, width) if self.settling.sample else [])]
        if last:
            keys += wrapped(f"(the one before: {last})", width, "dim")
        if item is None:
            lines = wrapped("That was the last one: u takes it back, q ends.", width)
        else:
            lines = screen(item, self.store.reviews.item(item.key), width, None if whole else height - len(keys) - 2)
        self.console.clear()
        for line in (*lines, Text(), *keys):
            self.console.print(line, no_wrap=True, overflow="crop", crop=True)


def screen(item: QueuedReview, doubt: ReviewItem, width: int, height: int | None) -> list[Text]:
    """A draw in lines of a width, at most `height` of them (12 is the least); None shows all.

    Where there is no room the question loses its end and the rationale its beginning, for there stands the answer.
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
            title += f" without its first {len(chain) - share} lines (m shows all)"
            chain = chain[-share:]
    return [*head, *question, Text(), *facts, Text(), *wrapped(title, width, "dim")[:1], *chain]


def wrapped(text: str, width: int, style: str = "") -> list[Text]:
    """Lines of at most `width` cells, with nothing in them that would steer the terminal."""
    harmless = Text(escape_controls(text.replace("\r\n", "\n")), style)
    return list(harmless.wrap(Console(width=width), width, overflow="fold"))


def _facts(item: QueuedReview, doubt: ReviewItem, width: int, most: int | None) -> list[Text]:
    """The gold answer, what was read as the rationale's, and why it is here: each in at most so many lines."""
    why = "disputed: " if item.queue is ReviewSource.DISPUTED else "wrong: "
    lines = []
    for label, text in (("gold", doubt.problem.answer), ("read", doubt.answer or "–"), ("why", why + doubt.reason)):
        parts = wrapped(" ".join(text.split()), max(1, width - LABEL), "" if label == "why" else "bold")[:most]
        lines += [Text.assemble((f"{'' if i else label:<{LABEL}}", "dim"), part) for i, part in enumerate(parts)]
    return lines


def _key() -> str:
    """The next key, as a small letter; `q` where the terminal is gone.

    Only a single key counts: what comes in one piece with others is a paste, a function key, or typed ahead of what is
    on the screen.
    """
    try:
        pressed = typer.getchar()
    except (EOFError, OSError):
        return "q"
    return "q" if not pressed else pressed.lower() if len(pressed) == 1 else ""
