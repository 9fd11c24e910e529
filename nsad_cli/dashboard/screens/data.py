"""Data: the store by problem, what became of the teacher's draws, and the way to the disputed ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.store_follower import StoreFollower, file_id
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.data_text import Ledger, Total, line, totals, whole, word
from nsad_cli.dashboard.screens.problem_pane import Failed, ProblemPane
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import Cell, Column, RowList
from nsad_cli.errors import NsadError
from nsad_cli.store.pages import StorePages, Wanted
from nsad_cli.types import Verdict
from nsad_cli.utils.terminal_text import RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from textual.app import ComposeResult

TOTALS = (
    Column("teacher"),
    Column("draws", 9, number=True),
    Column(f"{RIGHT} D+", 9, number=True),
    Column(f"{WRONG} D−", 9, number=True),
    Column("? disputed", 10, number=True, drop=2),
    Column("ungraded", 8, number=True, drop=3),
    Column("other", 7, number=True, drop=4),
    Column("D+ share", 8, number=True, drop=1),
)


class Found(Message):
    """A worker has found the problems wanted."""

    def __init__(self, wanted: Wanted, numbers: list[int], subjects: list[str]) -> None:
        super().__init__()
        self.wanted, self.numbers, self.subjects = wanted, numbers, subjects


class Counted(Message):
    """A worker has counted the draws."""

    def __init__(self, of: object, ledger: Ledger, beside: int, seconds: float) -> None:
        """of: the store and the parameters."""
        super().__init__()
        self.of, self.ledger, self.beside, self.seconds = of, ledger, beside, seconds


class Waiting(Message):
    """A worker has looked for the draws that wait for a person."""

    def __init__(self, screen: Callable[[], View] | None) -> None:
        super().__init__()
        self.screen = screen


class DataView(View):
    """The problems of the run's store, the draws of one, and the text of a draw."""

    NAME = "data"
    AUTO_FOCUS = "#problems"
    DEFAULT_CSS = """
    DataView {
        #head { height: 1; text-wrap: nowrap; text-overflow: ellipsis; color: $foreground 80%; padding: 0 1; }
        #totals { display: none; }
        &.-totals ProblemPane { display: none; }
        &.-totals #totals { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Find", key_display="/", tooltip="Search questions and gold answers"),
        Binding("v", "verdict", "Verdict", tooltip="Only problems with a draw of a verdict: the next one"),
        Binding("s", "subject", "Subject", tooltip="Only problems of a subject: the next one"),
        Binding("t", "totals", "Totals", tooltip="Draws in D+ and D− by teacher and subject"),
        Binding("d", "settle", "Settle", tooltip="Settle the disputed draws, one key each"),
        Binding("escape", "back", "Back, and show all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.store = StoreFollower()
        self.pane = ProblemPane(self.store)
        self.wanted = Wanted()
        self.ledger: Ledger | None = None
        """None until it is counted."""
        self.totals: list[Total] = []
        self.beside = 0
        self.failure: NsadError | None = None
        self._run: str | None = None
        self._stale = self._counting = False
        self._next_count = 0.0

    def body(self) -> ComposeResult:
        """The counts, the search, the problems, the draws of one, the text of one; or the totals."""
        yield Static(id="head", markup=False)
        yield FilterBox(placeholder="words of the question or the gold answer")
        yield self.pane
        yield RowList(TOTALS, id="totals")

    def on_unmount(self) -> None:
        """Let the store go."""
        self.store.close()

    # --- following the store ------------------------------------------------------------------------------------

    def follow(self) -> None:
        """See whether the store has grown; what takes long is done by threads."""
        run = self.reader.run
        if run is None:
            self.store.close()
            otherwise = "There is no run to look at.\n\n`nsad demo` makes one; screen 1 lists what is there."
            self.say_empty(self.without_run(otherwise))
            return
        if run.name != self._run:
            self._forget(run.name)
        path, params = self.store.of(run)
        if not path.is_file():
            self.store.close()
            self.say_empty(
                f"{run.name} has no problems and rationales yet.\n\n`nsad collect --run {run.name}` gets them."
            )
            return
        try:
            changed = self.store.look(path)
        except NsadError as error:
            self.failure = error
            self.store.close()
        else:
            wanted = Wanted(self.wanted.words, self.wanted.subject, self.wanted.verdict, params)
            if changed or wanted != self.wanted:
                self._stale = True
                self.look_for(wanted)
            if self._stale and not self._counting and time.monotonic() >= self._next_count:
                self._stale, self._counting = False, True
                self._count(path, params)
        self.say_empty(f"{self.failure.what}\n{self.failure.why}\n\n{self.failure.fix}" if self.failure else None)

    def _forget(self, run: str) -> None:
        self._run, self.wanted, self.failure = run, Wanted(), None
        self.store.close()
        self.ledger, self.totals = None, []
        self.pane.forget()

    def look_for(self, wanted: Wanted) -> None:
        """Show the problems wanted, as soon as they are found."""
        self.wanted, self.failure = wanted, None
        if self.store.path is not None:
            self._find(self.store.path, wanted)

    @work(thread=True, group="find", exclusive=True)
    def _find(self, path: Path, wanted: Wanted) -> None:
        try:
            with StorePages(path) as pages:
                self.post_message(Found(wanted, pages.find(wanted), pages.subjects()))
        except NsadError as error:
            self.post_message(Failed(error))

    @work(thread=True, group="count", exclusive=True)
    def _count(self, path: Path, params: str | None) -> None:
        started = time.monotonic()
        try:
            with StorePages(path) as pages:
                ledger, beside = pages.ledger(params), pages.draws_beside(params)
                self.post_message(Counted((path, params), ledger, beside, time.monotonic() - started))
        except NsadError as error:
            self.post_message(Failed(error))

    @on(Failed)
    def _tell_failure(self, message: Failed) -> None:
        """Told, and looked at anew at the next tick: it may have been a moment's lock."""
        self._counting, self.failure = False, message.error
        self.store.close()
        self.say_empty(f"{self.failure.what}\n{self.failure.why}\n\n{self.failure.fix}")

    @on(Counted)
    def _show_counts(self, message: Counted) -> None:
        self._counting, self._next_count = False, time.monotonic() + 2 * message.seconds
        if message.of != (self.store.path, self.wanted.params):
            return
        self.ledger, self.beside, self.totals = message.ledger, message.beside, totals(message.ledger)
        self.query_one("#totals", RowList).show(len(self.totals), self._total)
        self._show_head()

    @on(Found)
    def _show_found(self, message: Found) -> None:
        if message.wanted == self.wanted:
            self.pane.show(message.wanted, message.numbers, message.subjects)
            self._show_head()

    # --- showing ------------------------------------------------------------------------------------------------

    def _show_head(self) -> None:
        kept = [f"“{self.wanted.words}”"] if self.wanted.words else []
        kept += [f"with {word(self.wanted.verdict)}"] if self.wanted.verdict else []
        kept += [line(self.wanted.subject) or "no subject"] if self.wanted.subject is not None else []
        problems = len(self.pane.numbers)
        parts = [
            f"{problems:,} problem{'' if problems == 1 else 's'}" + (f" ({', '.join(kept)}; esc: all)" if kept else "")
        ]
        told = ""
        if self.ledger is not None:
            draws, right, wrong, disputed, ungraded, _ = whole(self.ledger).numbers
            parts += [f"{draws:,} draws", f"{RIGHT} D+ {right:,}", f"{WRONG} D− {wrong:,}"]
            parts += [f"? {disputed:,} disputed"] if disputed else []
            parts += [f"{ungraded:,} ungraded"] if ungraded else []
            parts += [f"{self.beside:,} made otherwise are not shown"] if self.beside else []
            if not draws:
                told = f"No draws yet: `nsad collect --run {self._run}` asks the teacher."
            elif draws == ungraded:
                told = f"Nothing is graded yet: `nsad grade --run {self._run}` does it."
        self.query_one("#head", Static).update(" · ".join(parts))
        self.say(told)

    def _total(self, index: int) -> Sequence[Cell]:
        total = self.totals[index]
        name = "all" if total.teacher is None else line(total.teacher)
        if total.subject is not None:
            name = f"  {line(total.subject) or '(no subject)'}"
        draws, right, *_ = total.numbers
        return (name, *(f"{number:,}" for number in total.numbers), f"{right / draws:.0%}")

    # --- what people do -----------------------------------------------------------------------------------------

    @on(RowList.Chosen, "#totals")
    def _only_these(self, message: RowList.Chosen) -> None:
        """The problems of the subject under the cursor."""
        self.pane.problems.focus()
        self._want(subject=self.totals[message.index].subject)

    def _want(self, **changed: str | None) -> None:
        if self.has_class("-totals"):
            self.action_totals()
        kept = {"words": self.wanted.words, "subject": self.wanted.subject, "verdict": self.wanted.verdict}
        self.look_for(Wanted(**(kept | changed), params=self.wanted.params))  # type: ignore[arg-type]

    def action_search(self) -> None:
        """Type words to look for."""
        self.remove_class("-totals")
        self.pane.remove_class("-reading")
        self.query_one(FilterBox).open()

    @on(FilterBox.Changed)
    def _search(self, message: FilterBox.Changed) -> None:
        if message.value != self.wanted.words:
            self._want(words=message.value)

    @on(FilterBox.Left)
    def _searched(self) -> None:
        self.pane.problems.focus()

    def action_verdict(self) -> None:
        """The next verdict that there is."""
        self._want(verdict=_next(self.wanted.verdict, [verdict for _, _, verdict, _ in self.ledger or ()]))

    def action_subject(self) -> None:
        """The next subject that there is."""
        self._want(subject=_next(self.wanted.subject, self.pane.subjects))

    def action_totals(self) -> None:
        """Show the totals, or the problems again."""
        shown = not self.has_class("-totals")
        self.set_class(shown, "-totals")
        (self.query_one("#totals") if shown else self.pane.problems).focus()

    def action_back(self) -> None:
        """Out of what was opened last; then all problems again."""
        if self.has_class("-totals"):
            self.action_totals()
        elif not self.pane.leave():
            self._want(words="", subject=None, verdict=None)
            self.query_one(FilterBox).action_give_up()

    # --- settling -----------------------------------------------------------------------------------------------

    def action_settle(self) -> None:
        """Have the disputed draws settled."""
        if self.store.path is None:
            return
        if self.wanted.params is None:
            self.notify(f"`nsad grade --run {self._run}` first: nothing is graded yet", severity="warning")
            return
        self._queue(self.store.path, self.wanted.params)

    @work(thread=True, group="queue", exclusive=True)
    def _queue(self, path: Path, params: str) -> None:
        from nsad_cli.dashboard.screens.review import SettleView
        from nsad_cli.grading.review_session import ReviewSession, review_items

        try:
            with StorePages(path) as pages:
                found, file = review_items(pages.labels(params, [Verdict.DISPUTED])), file_id(path)
        except (NsadError, OSError) as error:
            self.post_message(Failed(error if isinstance(error, NsadError) else NsadError("no store", str(error), "")))
            return
        self.post_message(Waiting((lambda: SettleView(path, file, ReviewSession(found))) if found else None))

    @on(Waiting)
    def _open_queue(self, message: Waiting) -> None:
        if message.screen is None:
            self.notify("Nothing is disputed, or all of it is settled.")
        else:
            self.app.push_screen(message.screen())

    # --- export -------------------------------------------------------------------------------------------------

    def data(self) -> Data | None:
        """The totals, or what ProblemPane.data says."""
        if self.has_class("-totals"):
            names = ("teacher", "subject", "draws", "right", "wrong", "disputed", "ungraded", "other")
            return Data(names, [(total.teacher, total.subject, *total.numbers) for total in self.totals])
        return None if self.store.path is None else self.pane.data()


def _next(now: str | None, there: Sequence[str]) -> str | None:
    """The one after it, None (all) after the last."""
    order = [None, *dict.fromkeys(there)]
    return order[(order.index(now) + 1) % len(order)] if now in order else None
