"""Review of disputed samples, one key per verdict: the only part of the dashboard that writes to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.console import Group
from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.live.store_follower import FileId, file_id
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.data_text import display_text, field_table, rationale_parts, single_line
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
"""Seconds to wait while another process writes."""
UNDO = "u"


class VerdictWritten(Message):
    """A verdict was stored or undone; with an error, the store is unchanged."""

    def __init__(self, error: NsadError | None) -> None:
        super().__init__()
        self.error = error


class ReviewView(View):
    """Shows one disputed sample at a time; a key stores its verdict at once, `u` undoes the last one."""

    NAME = "data"
    DEFAULT_CSS = """
    ReviewView {
        #place { height: 1; text-wrap: nowrap; text-overflow: ellipsis; padding: 0 1; text-style: bold; }
        #scroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "record('c')", "Right"),
        Binding("w", "record('w')", "Wrong"),
        Binding("n", "record('n')", "No answer"),
        Binding("g", "record('g')", "Bad gold", tooltip="The benchmark's gold answer is wrong"),
        Binding(
            "s", "record('s')", "Skip", tooltip="Keep the grader's verdict for now; the sample is shown again later"
        ),
        Binding(UNDO, f"record('{UNDO}')", "Undo", tooltip="Undo the last verdict"),
        Binding("r", "raw", "Raw LaTeX", show=False, tooltip="Show LaTeX source or rendered text"),
        Binding("e", "app.export", "Export", show=False),
        Binding("escape", "dismiss", "Back", key_display="esc"),
    ]

    def __init__(self, path: Path, file: FileId, session: ReviewSession) -> None:
        """Create the review.

        Args:
            path: The store.
            file: Identifier of the store's file, to detect that it was replaced.
            session: The queue of samples.
        """
        super().__init__()
        self.path, self.file, self.session = path, file, session
        self.item: ReviewItem | None = None
        self.writing = self.raw = False

    def body(self) -> ComposeResult:
        """Create the position line and the sample's text."""
        yield Static(id="place", markup=False)
        with VerticalScroll(id="scroll"):
            yield Static(id="doubt", markup=False)

    def on_mount(self) -> None:
        """Show the first sample."""
        self._run = self.context.run_name
        self._show()
        self.query_one("#scroll").focus()

    def follow(self) -> None:
        """Close the review if another run is selected; its queue does not change while it is open."""
        if self.context.run_name != self._run and self.is_current:
            self.dismiss()

    def _show(self) -> None:
        item, last = self.session.item, self.session.last
        before = f" · previous: {last}" if last else ""
        if item is None:
            self.item = None
            self.query_one("#place", Static).update(f"End of the queue{before}")
            self.query_one("#doubt", Static).update("u: undo the last verdict · Escape: back to the problems")
            return
        try:
            with StorePages(self.path) as pages:
                self.item = pages.reviews.item(item.key)
        except NsadError as error:
            self.show_notice(str(error))
            return
        about = (self.item.teacher, self.item.problem.subject, self.item.problem.level)
        place = f"{item.queue.value} {item.number:,} of {item.total:,}{before}"
        self.query_one("#place", Static).update(" · ".join(filter(None, (place, *map(single_line, about)))))
        self.query_one("#doubt", Static).update(self._text(self.item))
        self.query_one("#scroll").scroll_home(animate=False)

    def _text(self, item: ReviewItem) -> Group:
        colours = tints(self.app)
        rows: list[tuple[str, str | Text]] = [
            ("gold", Text(single_line(item.problem.answer, raw=self.raw), "bold")),
            ("parsed", Text(single_line(item.answer or "–", raw=self.raw), "bold")),
            ("why", Text(f"? disputed: {single_line(item.reason or 'no reason recorded')}", colours["warning"])),
        ]
        title = Text("rationale", colours["dim"])
        return Group(
            Text(display_text(item.problem.question, raw=self.raw), "bold"),
            "",
            field_table(rows, colours),
            "",
            title,
            *rationale_parts(item.text, colours, raw=self.raw),
        )

    def action_raw(self) -> None:
        """Switch between LaTeX source and rendered text."""
        self.raw = not self.raw
        self._show()

    def action_record(self, key: str) -> None:
        """Store a verdict on the sample shown, or undo the last one; ignored while a write is in progress."""
        nothing_to_do = not self.session.history if key == UNDO else self.session.item is None
        if not (self.writing or nothing_to_do):
            self.writing = True
            self._write(key)

    @work(thread=True, group="write")
    def _write(self, key: str) -> None:
        """Write in a thread, because another process may lock the store for a while."""
        try:
            if file_id(self.path) != self.file:
                raise NsadError(
                    "not saved", "the store was replaced by another file", "go back and open the review again"
                )
            with Store(self.path, lock_timeout=LOCK_TIMEOUT_SECONDS) as store:
                if key == UNDO:
                    self.session.undo(store)
                else:
                    self.session.record(store, key)
        except OSError as error:
            self.post_message(VerdictWritten(NsadError("not saved", str(error), "check the store")))
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
            self.show_notice(f"Not saved: {message.error.why} ({message.error.what}); {message.error.fix}")

    def data(self) -> ExportTable | None:
        """Return the sample shown, as a table."""
        if self.item is None:
            return None
        problem = self.item.problem
        return ExportTable(
            ("problem", "question", "gold", "teacher", "read", "why", "text"),
            [
                (
                    problem.id,
                    problem.question,
                    problem.answer,
                    self.item.teacher,
                    self.item.answer,
                    self.item.reason,
                    self.item.text,
                )
            ],
        )
