"""`nsad grade --review`: a person settles verdicts, one draw on the screen at a time, one key each."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.text import Text

from nsad_cli.cli.output import err, say
from nsad_cli.errors import UsageError
from nsad_cli.readable import printable
from nsad_cli.reviews import waiting
from nsad_cli.store import Doubt, Queue, Store
from nsad_cli.types import Verdict

VERDICTS = {
    "c": Verdict.CORRECT,
    "w": Verdict.WRONG,
    "n": Verdict.NO_ANSWER,
    "g": Verdict.BAD_GOLD,
    "s": None,
}
WORDS = {"c": "right", "w": "wrong", "n": "no answer", "g": "bad gold answer", "s": "skipped"}
KEYS = "c right  w wrong  n no answer  g bad gold answer  s skip  u undo  m all  q quit"
JUMP = "j on to the sample of D−"
LABEL = 6
"""Cells of the words before the answers."""


@dataclass(frozen=True, slots=True)
class Item:
    """One draw to settle, and its place in its queue."""

    key: int
    queue: Queue
    number: int
    total: int


def need_terminal() -> None:
    """Raise UsageError where no person can see the draws and press keys."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--review needs a terminal",
            "a person has to see each rationale and press a key",
            "run it in a terminal, with neither input nor error output redirected",
        )


def review(store: Store, params: str, sample: int) -> None:
    """Have the disputed draws settled, then `sample` random ones of D−; every key is kept at once."""
    labels = store.labels(params)
    parts = [(Queue.DISPUTED, waiting(labels, Queue.DISPUTED)), (Queue.SAMPLE, waiting(labels, Queue.SAMPLE, sample))]
    items = [
        Item(label.key, queue, number, len(part)) for queue, part in parts for number, label in enumerate(part, start=1)
    ]
    if items:
        _Reviewer(store, items).run()
    else:
        say(
            "nothing to review"
            if sample
            else "nothing is disputed; for a sample of D− there is `nsad grade --review --sample 50`"
        )


class _Reviewer:
    """A person's way through the draws, and back."""

    def __init__(self, store: Store, items: list[Item]) -> None:
        self.store, self.items, self.console = store, items, err()
        self.place = 0
        self.settled: list[tuple[int, str]] = []
        """Places and keys, the last one last."""

    def run(self) -> None:
        """Until the person quits."""
        self._show()
        while (key := _key()) != "q":
            item = self.items[self.place] if self.place < len(self.items) else None
            if key == "u" and self.settled:
                self.place, _ = self.settled.pop()
                self.store.forget_review(self.items[self.place].key)
            elif key == "j" and self._sample():
                self.place = self._sample()
            elif key in VERDICTS and item is not None:
                self.store.review(item.key, VERDICTS[key], item.queue)
                self.settled.append((self.place, key))
                self.place += 1
            self._show(whole=key == "m")

    def _sample(self) -> int:
        """Where the sample begins, while disputed draws stand before it; else 0."""
        first = next((place for place, item in enumerate(self.items) if item.queue is Queue.SAMPLE), 0)
        return first if self.place < first else 0

    def _show(self, *, whole: bool = False) -> None:
        width, height = self.console.size
        keys = [*wrapped(KEYS, width), *(wrapped(JUMP, width) if self._sample() else [])]
        if self.settled:
            keys += wrapped(f"(the one before: {WORDS[self.settled[-1][1]]})", width, "dim")
        if self.place == len(self.items):
            lines = wrapped("That was the last one: u takes it back, q ends.", width)
        else:
            item = self.items[self.place]
            lines = screen(item, self.store.doubt(item.key), width, None if whole else height - len(keys) - 2)
        self.console.clear()
        for line in (*lines, Text(), *keys):
            self.console.print(line, no_wrap=True, overflow="crop", crop=True)


def screen(item: Item, doubt: Doubt, width: int, height: int | None) -> list[Text]:
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
    harmless = Text(printable(text.replace("\r\n", "\n")), style)
    return list(harmless.wrap(Console(width=width), width, overflow="fold"))


def _facts(item: Item, doubt: Doubt, width: int, most: int | None) -> list[Text]:
    """The gold answer, what was read as the rationale's, and why it is here: each in at most so many lines."""
    why = "disputed: " if item.queue is Queue.DISPUTED else "wrong: "
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
