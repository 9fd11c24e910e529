"""The data screen: the store's problems, the verdicts on the teacher's samples, and the review of disputed ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Static

from nsad_cli.dashboard.live.store_follower import StoreFollower
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.data_follower import DataFollower
from nsad_cli.dashboard.screens.data_review import find_disputed
from nsad_cli.dashboard.screens.data_text import missing_step, summary_parts
from nsad_cli.dashboard.screens.data_totals import TotalsList
from nsad_cli.dashboard.screens.problem_pane import ProblemPane, StoreFailed
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import ExportTable


class DataView(View):
    """The problems of the run's store, the samples of one problem, and the text of a sample."""

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
        Binding("v", "verdict", "Verdict", tooltip="Filter by verdict: problems with a sample of the next verdict"),
        Binding("s", "subject", "Subject", tooltip="Filter by subject: problems of the next subject"),
        Binding("t", "totals", "Totals", tooltip="Samples in D+ and D− by teacher and subject"),
        Binding("d", "review", "Review", tooltip="Review the disputed samples, one key per verdict"),
        Binding("escape", "back", "Back; show all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.store = StoreFollower()
        self.pane = ProblemPane(self.store)
        self.totals = TotalsList()
        self.follower = DataFollower(self, self.store, self.pane, self._show_results)

    def body(self) -> ComposeResult:
        """Create the summary line, the search field, the problem pane, and the totals."""
        yield Static(id="head", markup=False)
        yield FilterBox(placeholder="words of the question or the gold answer")
        yield self.pane
        yield self.totals

    def on_unmount(self) -> None:
        """Close the store."""
        self.store.close()

    def follow(self) -> None:
        """Query the store again if it has changed."""
        self.follower.follow(self.context.run)

    @on(StoreFailed)
    def _failed(self, message: StoreFailed) -> None:
        self.follower.fail(message.error)

    def _show_results(self) -> None:
        """Show the counts, and the command to run next if a step is missing."""
        follower = self.follower
        self.totals.show_ledger(follower.ledger or ())
        parts = summary_parts(follower.filters, len(self.pane.numbers), follower.ledger, follower.other_samples)
        self.query_one("#head", Static).update(" · ".join(parts))
        self.show_notice(missing_step(follower.ledger, follower.run_name))

    def data(self) -> ExportTable | None:
        """The totals, or what ProblemPane.data returns."""
        if self.has_class("-totals"):
            return self.totals.data()
        return None if self.store.path is None else self.pane.data()

    # --- filters ------------------------------------------------------------------------------------------------------

    def _filter_by(self, **changed: Any) -> None:
        """Change the filter by words, subject or verdict."""
        if self.has_class("-totals"):
            self.action_totals()
        self.follower.find(replace(self.follower.filters, **changed))

    @on(RowList.Chosen, "#totals")
    def _choose_subject(self, message: RowList.Chosen) -> None:
        """Show the problems of the subject under the cursor."""
        self.pane.problems.focus()
        self._filter_by(subject=self.totals.totals[message.index].subject)

    def action_search(self) -> None:
        """Show the search field."""
        self.remove_class("-totals")
        self.pane.remove_class("-reading")
        self.query_one(FilterBox).open()

    @on(FilterBox.Changed)
    def _filter_changed(self, message: FilterBox.Changed) -> None:
        if message.value != self.follower.filters.words:
            self._filter_by(words=message.value)

    @on(FilterBox.Closed)
    def _filter_left(self) -> None:
        self.pane.problems.focus()

    def action_verdict(self) -> None:
        """Filter by the next verdict in the store."""
        verdicts = [verdict for _, _, verdict, _ in self.follower.ledger or ()]
        self._filter_by(verdict=_next(self.follower.filters.verdict, verdicts))

    def action_subject(self) -> None:
        """Filter by the next subject in the store."""
        self._filter_by(subject=_next(self.follower.filters.subject, self.pane.subjects))

    def action_totals(self) -> None:
        """Show the totals, or the problems again."""
        shown = not self.has_class("-totals")
        self.set_class(shown, "-totals")
        (self.totals if shown else self.pane.problems).focus()

    def action_back(self) -> None:
        """Close the totals, or go back one level; in the list of problems, clear the filters."""
        if self.has_class("-totals"):
            self.action_totals()
        elif not self.pane.go_back():
            self._filter_by(words="", subject=None, verdict=None)
            self.query_one(FilterBox).action_clear()

    # --- the review ---------------------------------------------------------------------------------------------------

    def action_review(self) -> None:
        """Open the review of the disputed samples."""
        path, params = self.store.path, self.follower.filters.params
        if path is None:
            return
        if params is None:
            self.notify(
                f"no samples are graded yet: run `nsad grade --run {self.follower.run_name}` first", severity="warning"
            )
            return
        self.follower.run_query("review", lambda: find_disputed(path, params), self._open_review)

    def _open_review(self, make_screen: Callable[[], View] | None) -> None:
        if make_screen is None:
            self.notify("There are no disputed samples left to review.")
        else:
            self.app.push_screen(make_screen())


def _next(current: str | None, values: Sequence[str]) -> str | None:
    """Return the value after the current one; None (all) after the last."""
    order = [None, *dict.fromkeys(values)]
    return order[(order.index(current) + 1) % len(order)] if current in order else None
