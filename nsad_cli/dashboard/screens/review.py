"""Disputed draws settled by a person, one key each: the only writing that the dashboard does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.console import Group
from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.live.store_follower import FileId, file_id
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.data_text import facts, line, lines
from nsad_cli.dashboard.themes import tints
from nsad_cli.errors import NsadError
from nsad_cli.store.pages import StorePages
from nsad_cli.store.rationales import Store

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import ComposeResult

    from nsad_cli.grading.review_session import ReviewSession
    from nsad_cli.store.records import ReviewItem

LOCK_TIMEOUT_SECONDS = 5.0
"""Seconds to wait for another process's write."""
UNDO = "u"


class VerdictWritten(Message):
    """A verdict is in the store, or taken back; or it is not, and nothing has changed."""

    def __init__(self, error: NsadError | None) -> None:
        super().__init__()
        self.error = error


class ReviewView(View):
    """One disputed draw after the other; a key settles it in the store at once, u takes the last one back."""

    NAME = "data"
    DEFAULT_CSS = """
    ReviewView {
        #place { height: 1; text-wrap: nowrap; text-overflow: ellipsis; padding: 0 1; text-style: bold; }
        #scroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "say('c')", "Right"),
        Binding("w", "say('w')", "Wrong"),
        Binding("n", "say('n')", "No answer"),
        Binding("g", "say('g')", "Bad gold", tooltip="The benchmark's own answer is wrong"),
        Binding("s", "say('s')", "Skip", tooltip="Leave it to the grader; it comes again later"),
        Binding(UNDO, f"say('{UNDO}')", "Undo", tooltip="Take the last verdict back"),
        Binding("r", "raw", "As written", show=False, tooltip="LaTeX as it was written, or readable again"),
        Binding("e", "app.export", "Export", show=False),
        Binding("escape", "dismiss", "Back", key_display="esc"),
    ]

    def __init__(self, path: Path, file: FileId, session: ReviewSession) -> None:
        """file: the store's, by which one that took its place is told from it."""
        super().__init__()
        self.path, self.file, self.session = path, file, session
        self.doubt: ReviewItem | None = None
        self.writing = self.raw = False

    def body(self) -> ComposeResult:
        """Where one is in the queue, and the draw in full."""
        yield Static(id="place", markup=False)
        with VerticalScroll(id="scroll"):
            yield Static(id="doubt", markup=False)

    def on_mount(self) -> None:
        """Show the first one."""
        self._run = self.context.run_name
        self._show()
        self.query_one("#scroll").focus()

    def follow(self) -> None:
        """The queue stays what it was when it was opened; it ends where the user looks at another run."""
        if self.context.run_name != self._run and self.is_current:
            self.dismiss()

    def _show(self) -> None:
        item, last = self.session.item, self.session.last
        before = f" · the one before: {last}" if last else ""
        if item is None:
            self.doubt = None
            self.query_one("#place", Static).update(f"That was the last one{before}")
            self.query_one("#doubt", Static).update("u takes it back, Escape leads back to the problems.")
            return
        try:
            with StorePages(self.path) as pages:
                self.doubt = pages.reviews.item(item.key)
        except NsadError as error:
            self.show_notice(str(error))
            return
        about = (self.doubt.teacher, self.doubt.problem.subject, self.doubt.problem.level)
        place = f"{item.queue.value} {item.number:,} of {item.total:,}{before}"
        self.query_one("#place", Static).update(" · ".join(filter(None, (place, *map(line, about)))))
        self.query_one("#doubt", Static).update(self._text(self.doubt))
        self.query_one("#scroll").scroll_home(animate=False)

    def _text(self, doubt: ReviewItem) -> Group:
        colours = tints(self.app)
        rows: list[tuple[str, str | Text]] = [
            ("gold", Text(line(doubt.problem.answer, raw=self.raw), "bold")),
            ("read", Text(line(doubt.answer or "–", raw=self.raw), "bold")),
            ("why", Text(f"? disputed: {line(doubt.reason or 'no reason is stored')}", colours["warning"])),
        ]
        title, chain = Text("its rationale", colours["dim"]), Text(lines(doubt.text, raw=self.raw))
        return Group(
            Text(lines(doubt.problem.question, raw=self.raw), "bold"), "", facts(rows, colours), "", title, chain
        )

    def action_raw(self) -> None:
        """LaTeX as it was written, or readable."""
        self.raw = not self.raw
        self._show()

    def action_say(self, key: str) -> None:
        """Settle the draw that is shown, or take the last one back; one write at a time."""
        nothing = not self.session.history if key == UNDO else self.session.item is None
        if not (self.writing or nothing):
            self.writing = True
            self._write(key)

    @work(thread=True, group="write")
    def _write(self, key: str) -> None:
        """In a thread, for another process may hold the store for a while."""
        try:
            if file_id(self.path) != self.file:
                raise NsadError("not kept", "the store is another file than the one shown", "go back and open it anew")
            with Store(self.path, lock_timeout=LOCK_TIMEOUT_SECONDS) as store:
                if key == UNDO:
                    self.session.undo(store)
                else:
                    self.session.record(store, key)
        except OSError as error:
            self.post_message(VerdictWritten(NsadError("not kept", str(error), "check the store")))
        except NsadError as error:
            self.post_message(VerdictWritten(error))
        else:
            self.post_message(VerdictWritten(None))

    @on(VerdictWritten)
    def _written(self, message: VerdictWritten) -> None:
        self.writing = False
        if message.error is None:
            self.show_notice("")
            self._show()
        else:
            self.show_notice(f"Not kept: {message.error.why} ({message.error.what}); {message.error.fix}")

    def data(self) -> Data | None:
        """The draw that is shown."""
        if self.doubt is None:
            return None
        problem = self.doubt.problem
        return Data(
            ("problem", "question", "gold", "teacher", "read", "why", "text"),
            [
                (
                    problem.id,
                    problem.question,
                    problem.answer,
                    self.doubt.teacher,
                    self.doubt.answer,
                    self.doubt.reason,
                    self.doubt.text,
                )
            ],
        )
