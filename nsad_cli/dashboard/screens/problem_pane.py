"""Pane of the data screen: a list of problems, the samples of the selected one, and the text of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import on
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.screens.data_text import problem_details, review_label, single_line, verdict_text
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.row_list import Cell, Column, RowList
from nsad_cli.errors import NsadError
from nsad_cli.store.pages import DrawRow, ProblemQuery, ProblemRow
from nsad_cli.utils.terminal_text import RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from nsad_cli.dashboard.live.store_follower import StoreFollower

BLOCK = 64
"""Number of problems read at once."""


def sample_columns(samples: Sequence[DrawRow]) -> tuple[Column, ...]:
    """Return the columns of the list of samples; the one of manual verdicts only if there are any."""
    return (
        Column("#", 3, number=True, drop=1),
        Column("verdict", 11),
        Column("answer"),
        *([Column("by hand", 9, drop=2)] if any(review_label(sample) for sample in samples) else []),
        Column("teacher", 12, drop=3),
    )


def problem_columns(subjects: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of the list of problems; the subject column is as wide as needed, up to 20 cells."""
    subject = min(max((cell_len(single_line(name)) for name in subjects), default=0), 20)
    return (
        Column("problem", least=24),
        *([Column("subject", max(subject, 7), drop=2)] if subject else []),
        Column("gold", 8, drop=3),
        Column("level", 7, drop=4),
        Column("samples", 7, number=True, drop=1),
        Column(f"{RIGHT} D+", 4, number=True),
        Column(f"{WRONG} D−", 4, number=True),
        Column("other", 5, number=True),
    )


class StoreFailed(Message):
    """The store could not be read."""

    def __init__(self, error: NsadError) -> None:
        super().__init__()
        self.error = error


class ProblemPane(Container):
    """Problems, samples and a text, side by side or stacked, depending on the width."""

    SCOPED_CSS = False
    """The width is a class of the screen, outside the scope of this widget."""
    DEFAULT_CSS = """
    ProblemPane {
        height: 1fr;
        #problems { height: 2fr; }
        #below { layout: horizontal; height: 3fr; border-top: solid $panel; }
        #draws { width: 34; }
        #text { width: 1fr; height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; border-left: solid $panel; }
        #text:focus { border-left: solid $primary; }
        &.-reading #problems, &.-reading #draws { display: none; }
    }
    .-wide ProblemPane {
        layout: horizontal;
        #problems { width: 4fr; height: 1fr; }
        #below { layout: vertical; width: 3fr; height: 1fr; border-top: none; border-left: solid $panel; }
        #draws { width: 1fr; height: 1fr; max-height: 10; }
        #text { border-left: none; border-top: solid $panel; }
    }
    .-narrow ProblemPane {
        #below { layout: vertical; }
        #draws { width: 1fr; height: 2fr; }
        #text { border-left: none; border-top: solid $panel; height: 3fr; }
    }
    """

    def __init__(self, store: StoreFollower) -> None:
        super().__init__()
        self.store = store
        self.filters, self.numbers, self.subjects = ProblemQuery(), list[int](), list[str]()
        self.problem: ProblemRow | None = None
        self.samples: list[DrawRow] = []
        self._shown = self.filters
        self._blocks: dict[int, Sequence[ProblemRow | None]] = {}

    def compose(self) -> ComposeResult:
        """Create the two lists and the text."""
        yield RowList(problem_columns(()), id="problems")
        with Container(id="below"):
            yield RowList(sample_columns(()), id="draws")
            with VerticalScroll(id="text"):
                yield Static(id="about", markup=False)

    @property
    def problems(self) -> RowList:
        """The list of problems."""
        return self.query_one("#problems", RowList)

    def show(self, filters: ProblemQuery, numbers: list[int], subjects: list[str]) -> None:
        """Show problems by their numbers (see StorePages.find), keeping the cursor on the same problem."""
        current = self.numbers[self.problems.cursor] if self.numbers else None
        self.filters, self.numbers, self.subjects = filters, numbers, subjects
        self._blocks.clear()
        self.problems.columns = problem_columns(subjects)
        cursor = numbers.index(current) if current in numbers else 0
        self.problems.show(len(numbers), self._row, cursor=cursor)
        self._show_problem(cursor)

    def clear(self) -> None:
        """Remove all problems, before another store is shown."""
        self.problem, self.samples, self.numbers = None, [], []
        self._blocks.clear()
        self.problems.show(0, self._row, cursor=0)
        self.remove_class("-reading")

    def go_back(self) -> bool:
        """Leave the text or the list of samples; return False if neither has the focus."""
        if self.has_class("-reading"):
            self.remove_class("-reading")
            self.query_one("#draws").focus()
        elif self._inside:
            self.problems.focus()
        else:
            return False
        return True

    @property
    def _inside(self) -> bool:
        focused = self.screen.focused
        return focused is not None and focused.id in ("draws", "text")

    # --- problems -----------------------------------------------------------------------------------------------

    def _at(self, index: int) -> ProblemRow | None:
        """Return the problem in a row of the list; pages are read when they become visible."""
        if not 0 <= index < len(self.numbers):
            return None
        block = index // BLOCK
        if block not in self._blocks:
            numbers = self.numbers[block * BLOCK : (block + 1) * BLOCK]
            try:
                self._blocks[block] = self.store.pages.page(numbers, self.filters.params)
            except NsadError as error:
                self._blocks[block] = [None] * len(numbers)
                self.post_message(StoreFailed(error))
        return self._blocks[block][index % BLOCK]

    def _row(self, index: int) -> Sequence[Cell]:
        problem = self._at(index)
        if problem is None:
            return ("…",)
        counts = [f"{n:,}" if n else "·" for n in (problem.draws, problem.right, problem.wrong, problem.other)]
        subject = [single_line(problem.subject)] if any(self.subjects) else []
        return (
            single_line(problem.question),
            *subject,
            single_line(problem.answer),
            single_line(problem.level),
            *counts,
        )

    @on(RowList.Moved, "#problems")
    def _problem_moved(self, message: RowList.Moved) -> None:
        if type(message) is RowList.Moved:
            self._show_problem(message.index)

    @on(RowList.Chosen, "#problems")
    def _focus_samples(self) -> None:
        self.query_one("#draws").focus()

    # --- samples ------------------------------------------------------------------------------------------------

    def _show_problem(self, index: int) -> None:
        """Show the samples of the problem in a row; with a verdict filter, select the first sample of that verdict."""
        before, self.problem = self.problem, self._at(index)
        rows = self.query_one("#draws", RowList)
        same = before is not None and self.problem is not None and before.id == self.problem.id
        same, self._shown = same and self._shown == self.filters, self.filters
        try:
            self.samples = self.store.pages.draws_of(self.problem.id, self.filters.params) if self.problem else []
        except NsadError as error:
            self.samples = []
            self.post_message(StoreFailed(error))
        rows.columns = sample_columns(self.samples)
        first = next((i for i, sample in enumerate(self.samples) if sample.verdict == self.filters.verdict), 0)
        rows.show(len(self.samples), self._sample_cells, cursor=rows.cursor if same else first)
        self._show_text(scroll=not same)

    def _sample_cells(self, index: int) -> Sequence[Cell]:
        sample = self.samples[index]
        answer = "–" if sample.answer is None else single_line(sample.answer)
        reviewed = [review_label(sample)] if any(review_label(each) for each in self.samples) else []
        return (
            str(sample.number + 1),
            verdict_text(sample.verdict, tints(self.app)),
            answer,
            *reviewed,
            single_line(sample.teacher),
        )

    @on(RowList.Moved, "#draws")
    def _sample_moved(self, message: RowList.Moved) -> None:
        if type(message) is RowList.Moved:
            self._show_text()

    @on(RowList.Chosen, "#draws")
    def _open_text(self) -> None:
        self.add_class("-reading")
        self.query_one("#text").focus()

    def _show_text(self, *, scroll: bool = True) -> None:
        """Show the full text of the sample under the cursor and its problem."""
        cursor = self.query_one("#draws", RowList).cursor
        sample = self.samples[cursor] if cursor < len(self.samples) else None
        try:
            problem = self.store.pages.problem(self.problem.id) if self.problem else None
            text = self.store.pages.text(sample.key) if sample else ""
        except NsadError as error:
            self.post_message(StoreFailed(error))
            return
        self.query_one("#about", Static).update(
            problem_details(problem, sample, text, tints(self.app)) if problem else ""
        )
        if scroll:
            self.query_one("#text").scroll_home(animate=False)

    # --- export -------------------------------------------------------------------------------------------------

    def data(self) -> ExportTable:
        """Return the samples of the problem if they or their text have the focus, else the problems."""
        if self.problem and self._inside:
            names = ("problem", "teacher", "number", "verdict", "answer", "reason", "by hand", "text")
            return ExportTable(names, [self._sample_row(self.problem.id, sample) for sample in self.samples])
        found = self.store.pages.pages(self.numbers, self.filters.params)
        return ExportTable(
            ("problem", "subject", "level", "question", "gold", "draws", "right", "wrong", "other"),
            ((p.id, p.subject, p.level, p.question, p.answer, p.draws, p.right, p.wrong, p.other) for p in found),
        )

    def _sample_row(self, problem: str, sample: DrawRow) -> tuple[object, ...]:
        cells = (sample.teacher, sample.number, sample.verdict, sample.answer, sample.reason, sample.reviewed)
        return (problem, *cells, self.store.pages.text(sample.key))
