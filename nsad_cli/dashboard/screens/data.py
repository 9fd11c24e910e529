"""The data screen: the store's problems, the verdicts on the teacher's draws, and the way to the disputed ones."""

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
from nsad_cli.dashboard.screens.data_text import head_parts, missing_step
from nsad_cli.dashboard.screens.data_totals import TotalsList
from nsad_cli.dashboard.screens.problem_pane import ProblemPane, StoreFailed
from nsad_cli.dashboard.widgets.filter_box import FilterBox
from nsad_cli.dashboard.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import Data


class DataView(View):
    """The problems of the run's store, the draws of one problem, and the text of a draw."""

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
        self.totals = TotalsList()
        self.follower = DataFollower(self, self.store, self.pane, self._show_results)

    def body(self) -> ComposeResult:
        """The counts, the search field, the problems with their draws; or the totals."""
        yield Static(id="head", markup=False)
        yield FilterBox(placeholder="words of the question or the gold answer")
        yield self.pane
        yield self.totals

    def on_unmount(self) -> None:
        """Close the store."""
        self.store.close()

    def follow(self) -> None:
        """Query the store if it has changed."""
        self.follower.follow(self.context.run)

    @on(StoreFailed)
    def _failed(self, message: StoreFailed) -> None:
        self.follower.fail(message.error)

    def _show_results(self) -> None:
        """Show the counts, and the command to run next if a step is missing."""
        follower = self.follower
        self.totals.show_ledger(follower.ledger or ())
        parts = head_parts(follower.wanted, len(self.pane.numbers), follower.ledger, follower.other_draws)
        self.query_one("#head", Static).update(" · ".join(parts))
        self.show_notice(missing_step(follower.ledger, follower.run_name))

    def data(self) -> Data | None:
        """The totals, or what ProblemPane.data returns."""
        if self.has_class("-totals"):
            return self.totals.data()
        return None if self.store.path is None else self.pane.data()

    # --- which problems -----------------------------------------------------------------------------------------------

    def _restrict(self, **changed: Any) -> None:
        """Show the problems with other words, another subject or another verdict."""
        if self.has_class("-totals"):
            self.action_totals()
        self.follower.find(replace(self.follower.wanted, **changed))

    @on(RowList.Chosen, "#totals")
    def _choose_subject(self, message: RowList.Chosen) -> None:
        """Show the problems of the subject under the cursor."""
        self.pane.problems.focus()
        self._restrict(subject=self.totals.totals[message.index].subject)

    def action_search(self) -> None:
        """Show the search field."""
        self.remove_class("-totals")
        self.pane.remove_class("-reading")
        self.query_one(FilterBox).open()

    @on(FilterBox.Changed)
    def _filter_changed(self, message: FilterBox.Changed) -> None:
        if message.value != self.follower.wanted.words:
            self._restrict(words=message.value)

    @on(FilterBox.Closed)
    def _filter_left(self) -> None:
        self.pane.problems.focus()

    def action_verdict(self) -> None:
        """Show problems with a draw of the next verdict in the store."""
        verdicts = [verdict for _, _, verdict, _ in self.follower.ledger or ()]
        self._restrict(verdict=_next(self.follower.wanted.verdict, verdicts))

    def action_subject(self) -> None:
        """Show problems of the next subject in the store."""
        self._restrict(subject=_next(self.follower.wanted.subject, self.pane.subjects))

    def action_totals(self) -> None:
        """Show the totals, or the problems again."""
        shown = not self.has_class("-totals")
        self.set_class(shown, "-totals")
        (self.totals if shown else self.pane.problems).focus()

    def action_back(self) -> None:
        """Leave what was opened last; then show all problems again."""
        if self.has_class("-totals"):
            self.action_totals()
        elif not self.pane.leave():
            self._restrict(words="", subject=None, verdict=None)
            self.query_one(FilterBox).action_clear()

    # --- the review ---------------------------------------------------------------------------------------------------

    def action_settle(self) -> None:
        """Open the review of the disputed draws."""
        path, params = self.store.path, self.follower.wanted.params
        if path is None:
            return
        if params is None:
            self.notify(f"`nsad grade --run {self.follower.run_name}` first: nothing is graded yet", severity="warning")
            return
        self.follower.run_query("review", lambda: find_disputed(path, params), self._open_review)

    def _open_review(self, make_screen: Callable[[], View] | None) -> None:
        if make_screen is None:
            self.notify("Nothing is disputed, or all of it is settled.")
        else:
            self.app.push_screen(make_screen())


def _next(current: str | None, values: Sequence[str]) -> str | None:
    """The value after the current one; None (all) after the last."""
    order = [None, *dict.fromkeys(values)]
    return order[(order.index(current) + 1) % len(order)] if current in order else None
