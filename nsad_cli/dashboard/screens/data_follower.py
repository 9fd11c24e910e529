"""Store queries of the data screen: the problems that match its filters, and the verdict counts."""

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
    from nsad_cli.dashboard.screens.data_text import LedgerRows
    from nsad_cli.dashboard.screens.problem_pane import ProblemPane
    from nsad_cli.runs.run import Run

T = TypeVar("T")
REST_FACTOR = 2.0
"""Minimum pause between two counts while the store grows, as a multiple of the last count's duration."""


class DataFollower:
    """Queries the store in threads whenever the store or the filters have changed.

    Args:
        screen: The screen that runs the threads and shows errors.
        store: The open store, from which the pane reads.
        pane: Shows the problems found.
        show_results: Called when new problems or counts are available.
    """

    def __init__(self, screen: View, store: StoreFollower, pane: ProblemPane, show_results: Callable[[], None]) -> None:
        self.screen, self.store, self.pane, self.show_results = screen, store, pane, show_results
        self.run_name: str | None = None
        self.filters = ProblemQuery()
        """The filters of the list of problems."""
        self.ledger: LedgerRows | None = None
        """Counts of samples by teacher, subject and verdict; None until they are known."""
        self.other_samples = 0
        """Number of samples with other parameters, which are not shown."""
        self.failure: NsadError | None = None
        self.next_count = 0.0
        """Monotonic time at which the next count may start."""
        self._stale = self._counting = False

    def follow(self, run: Run | None) -> None:
        """Start the queries whose results may have changed."""
        if run is None:
            self.store.close()
            no_run = "No run is selected.\n\n`nsad demo` creates a run; screen 1 lists the existing ones."
            self.screen.show_empty(self.screen.no_run_text(no_run))
            return
        if run.name != self.run_name:
            self._switch_to(run.name)
        path, params = self.store.locate(run)
        if not path.is_file():
            self.store.close()
            self.screen.show_empty(
                f"{run.name} has no problems and rationales yet.\n\n`nsad collect --run {run.name}` collects them."
            )
            return
        try:
            changed = self.store.check(path)
        except NsadError as error:
            self.failure = error
            self.store.close()
        else:
            self._query(path, replace(self.filters, params=params), changed)
        self._show_failure()

    def find(self, filters: ProblemQuery) -> None:
        """Find the problems that match the filters, and show them."""
        self.filters, self.failure = filters, None
        path = self.store.path
        if path is not None:
            self.run_query("find", lambda: _find(path, filters), lambda found: self._take_problems(filters, *found))

    def fail(self, error: NsadError) -> None:
        """Show why the store cannot be read; the next `follow` reopens it, because a lock may be brief."""
        self._counting, self.failure = False, error
        self.store.close()
        self._show_failure()

    def run_query(self, name: str, query: Callable[[], T], on_result: Callable[[T], None]) -> None:
        """Run a query in a thread; a running query of the same name is cancelled first.

        Args:
            name: Name of the query.
            query: Returns the result; if it raises NsadError, `fail` is called.
            on_result: Called with the result on the screen's thread.
        """

        def work() -> None:
            try:
                result = query()
            except NsadError as error:
                self._call(self.fail, error)
            else:
                self._call(on_result, result)

        self.screen.run_worker(work, thread=True, group=name, exclusive=True)

    def _call(self, function: Callable[[T], None], value: T) -> None:
        with contextlib.suppress(RuntimeError):  # the dashboard, and its event loop, may have ended
            self.screen.call_later(function, value)

    def _query(self, path: Path, filters: ProblemQuery, changed: bool) -> None:
        if changed or filters != self.filters:
            self._stale = True
            self.find(filters)
        if self._stale and not self._counting and time.monotonic() >= self.next_count:
            self._stale, self._counting = False, True
            params = filters.params
            self.run_query("count", lambda: _count(path, params), lambda found: self._take_counts(path, params, *found))

    def _switch_to(self, run_name: str) -> None:
        self.run_name, self.filters, self.failure, self.ledger = run_name, ProblemQuery(), None, None
        self.store.close()
        self.pane.clear()

    def _take_problems(self, filters: ProblemQuery, numbers: list[int], subjects: list[str]) -> None:
        if filters == self.filters:
            self.pane.show(filters, numbers, subjects)
            self.show_results()

    def _take_counts(
        self, path: Path, params: str | None, ledger: LedgerRows, other_samples: int, seconds: float
    ) -> None:
        self._counting, self.next_count = False, time.monotonic() + REST_FACTOR * seconds
        if (path, params) == (self.store.path, self.filters.params):
            self.ledger, self.other_samples = ledger, other_samples
            self.show_results()

    def _show_failure(self) -> None:
        error = self.failure
        self.screen.show_empty(f"{error.what}\n{error.why}\n\n{error.fix}" if error else None)


def _find(path: Path, filters: ProblemQuery) -> tuple[list[int], list[str]]:
    """Return the row numbers of the problems that match the filters, and the store's subjects."""
    with StorePages(path) as pages:
        return pages.find(filters), pages.subjects()


def _count(path: Path, params: str | None) -> tuple[LedgerRows, int, float]:
    """Count the samples; return the counts, the number of samples with other parameters, and the duration."""
    started = time.monotonic()
    with StorePages(path) as pages:
        ledger, other_samples = pages.verdicts.counts(params), pages.draws_with_other_params(params)
    return ledger, other_samples, time.monotonic() - started
