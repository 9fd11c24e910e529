"""How the data screen follows a run's store: what has changed, the problems to show, and the counts."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from nsad_cli.errors import NsadError
from nsad_cli.store.pages import ProblemQuery, StorePages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nsad_cli.dashboard.live.store_follower import StoreFollower
    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.data_text import Ledger
    from nsad_cli.dashboard.screens.problem_pane import ProblemPane
    from nsad_cli.runs.run import Run

T = TypeVar("T")
REST_FACTOR = 2.0
"""How many times its own duration a count pauses before the next one, while the store grows."""


class DataFollower:
    """Queries the store in threads whenever it has changed, or other problems are wanted.

    Args:
        screen: The screen that follows.
        store: The store, open for what the pane reads.
        pane: Shows the problems found.
        show_results: Called when there are new problems or counts.
    """

    def __init__(self, screen: View, store: StoreFollower, pane: ProblemPane, show_results: Callable[[], None]) -> None:
        self.screen, self.store, self.pane, self.show_results = screen, store, pane, show_results
        self.run_name: str | None = None
        self.wanted = ProblemQuery()
        """Which problems to show."""
        self.ledger: Ledger | None = None
        """The counts of draws; None until they are counted."""
        self.other_draws = 0
        """Draws made with other parameters, which are not shown."""
        self.failure: NsadError | None = None
        self.next_count = 0.0
        """When the next count may start, on the monotonic clock."""
        self._stale = self._counting = False

    def follow(self, run: Run | None) -> None:
        """Start the queries whose results the store's changes may affect."""
        if run is None:
            self.store.close()
            otherwise = "There is no run to look at.\n\n`nsad demo` makes one; screen 1 lists what is there."
            self.screen.show_empty(self.screen.no_run_text(otherwise))
            return
        if run.name != self.run_name:
            self._switch_to(run.name)
        path, params = self.store.locate(run)
        if not path.is_file():
            self.store.close()
            self.screen.show_empty(
                f"{run.name} has no problems and rationales yet.\n\n`nsad collect --run {run.name}` gets them."
            )
            return
        try:
            changed = self.store.check(path)
        except NsadError as error:
            self.failure = error
            self.store.close()
        else:
            self._query(path, replace(self.wanted, params=params), changed)
        self._show_failure()

    def find(self, wanted: ProblemQuery) -> None:
        """Show these problems as soon as they are found."""
        self.wanted, self.failure = wanted, None
        path = self.store.path
        if path is not None:
            self.run_query("find", lambda: _find(path, wanted), lambda found: self._take_problems(wanted, *found))

    def fail(self, error: NsadError) -> None:
        """Show why the store cannot be read; the next `follow` opens it again, as it may have been locked briefly."""
        self._counting, self.failure = False, error
        self.store.close()
        self._show_failure()

    def run_query(self, name: str, query: Callable[[], T], take: Callable[[T], None]) -> None:
        """Run a query in a thread and pass its result to `take` on the screen's thread; one query of a name at a time.

        If it raises NsadError, `fail` is called instead.
        """

        def work() -> None:
            try:
                result = query()
            except NsadError as error:
                self._call(self.fail, error)
            else:
                self._call(take, result)

        self.screen.run_worker(work, thread=True, group=name, exclusive=True)

    def _call(self, function: Callable[[T], None], value: T) -> None:
        with contextlib.suppress(RuntimeError):  # the dashboard, and its event loop, may have ended
            self.screen.call_later(function, value)

    def _query(self, path: Path, wanted: ProblemQuery, changed: bool) -> None:
        if changed or wanted != self.wanted:
            self._stale = True
            self.find(wanted)
        if self._stale and not self._counting and time.monotonic() >= self.next_count:
            self._stale, self._counting = False, True
            params = wanted.params
            self.run_query("count", lambda: _count(path, params), lambda found: self._take_counts(path, params, *found))

    def _switch_to(self, run_name: str) -> None:
        self.run_name, self.wanted, self.failure, self.ledger = run_name, ProblemQuery(), None, None
        self.store.close()
        self.pane.forget()

    def _take_problems(self, wanted: ProblemQuery, numbers: list[int], subjects: list[str]) -> None:
        if wanted == self.wanted:
            self.pane.show(wanted, numbers, subjects)
            self.show_results()

    def _take_counts(self, path: Path, params: str | None, ledger: Ledger, other_draws: int, seconds: float) -> None:
        self._counting, self.next_count = False, time.monotonic() + REST_FACTOR * seconds
        if (path, params) == (self.store.path, self.wanted.params):
            self.ledger, self.other_draws = ledger, other_draws
            self.show_results()

    def _show_failure(self) -> None:
        error = self.failure
        self.screen.show_empty(f"{error.what}\n{error.why}\n\n{error.fix}" if error else None)


def _find(path: Path, wanted: ProblemQuery) -> tuple[list[int], list[str]]:
    """The numbers of the wanted problems, and the store's subjects."""
    with StorePages(path) as pages:
        return pages.find(wanted), pages.subjects()


def _count(path: Path, params: str | None) -> tuple[Ledger, int, float]:
    """The draws counted, the number of draws made with other parameters, and the seconds that this took."""
    started = time.monotonic()
    with StorePages(path) as pages:
        ledger, other_draws = pages.verdicts.counts(params), pages.draws_with_other_params(params)
    return ledger, other_draws, time.monotonic() - started
