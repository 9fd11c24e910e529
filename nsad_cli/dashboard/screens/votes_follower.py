"""Polling of a run's chain store for the votes screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.votes_reader import OpenedStore, Pairs, VotesPart, read_pairs, read_votes, signature

if TYPE_CHECKING:
    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.votes_presenter import VotesPresenter
    from nsad_cli.errors import NsadError
    from nsad_cli.runs.run import Run

REDRAW_SECONDS = 0.4
"""Seconds between two updates of the list while it is being read."""
REST_FACTOR = 5.0
"""Minimum pause between two readings while the store grows, as a multiple of the last one's duration."""


class VotesFollower:
    """Reads a run's votes in the background when its store, or the one it is compared with, has changed."""

    def __init__(self, screen: View, presenter: VotesPresenter) -> None:
        self.screen, self.presenter = screen, presenter
        self.run_name: str | None = None
        self.set_key: dict[str, str] | None = None
        """Key of the chain set to show; None: the default set."""
        self.rest_until = 0.0
        """Monotonic time at which the next reading may start."""
        self._signatures: tuple[object, ...] = ()
        self._started = 0.0

    def follow(self, run: Run | None) -> None:
        """Start reading if another run is selected or the chains have changed."""
        name = run.name if run else None
        if name != self.run_name:
            self.switch_to(name)
        if run is None:
            self.screen.show_empty(
                self.screen.no_run_text("There is no run yet.\n\nCreate one: nsad demo, or nsad run RECIPE")
            )
            return
        if not run.chains_path.is_file():
            self.switch_to(run.name)
            self.screen.show_empty(
                f"{run.name} has no chains yet.\n\n"
                f"nsad eval --run {run.name} samples chains for its benchmarks,\n"
                f'nsad solve --run {run.name} "…" for your own problem.'
            )
            return
        problem_list = self.presenter.state.problem_list
        other = problem_list.other
        found = (signature(run.chains_path), signature(other.path) if other else None)
        if found != self._signatures and not self.screen.busy("votes", "pairs") and time.monotonic() >= self.rest_until:
            self._signatures, self._started = found, time.monotonic()
            problem_list.run, problem_list.path = run.name, run.chains_path
            path, set_key, rules = run.chains_path, self.set_key, problem_list.rules
            self.screen.run_in_background(
                "votes", lambda: read_votes(path, set_key, rules), self._add_votes, self._end_votes
            )
            self.presenter.draw_status()
        self.screen.show_notice(self.presenter.error)
        self.presenter.retry()

    def switch_to(self, run_name: str | None, set_key: dict[str, str] | None = None) -> None:
        """Clear the screen; the next `follow` reads this run."""
        self.screen.cancel_background()
        self.presenter.reset()
        self.run_name, self.set_key = run_name, set_key
        self._signatures, self.rest_until = (), 0.0

    def reread(self) -> None:
        """Read all votes again immediately."""
        self.screen.cancel_background("votes", "pairs")
        self._signatures, self.rest_until = (), 0.0
        self.follow(self.screen.context.run)

    def read_pairs(self) -> None:
        """Read both sides of a comparison; the previous pairs stay until the reading is complete."""
        problem_list, found = self.presenter.state.problem_list, Pairs()
        here, there, rules = problem_list.this_side, problem_list.other, problem_list.rules
        if here is None or there is None:
            return

        def end(error: NsadError | None) -> None:
            self.presenter.state.problem_list.pairs = found
            self.presenter.report(error)
            self.presenter.update_list(reread=True)

        self.screen.run_in_background("pairs", lambda: read_pairs(here, there, rules), found.update, end)

    def _add_votes(self, found: OpenedStore | VotesPart) -> None:
        problem_list = self.presenter.state.problem_list
        if isinstance(found, OpenedStore):
            problem_list.open(found)
        else:
            problem_list.results.update(found.results)
        if problem_list.problems:
            self.screen.show_empty(None)
        if isinstance(found, OpenedStore) or time.monotonic() >= self.presenter.updated + REDRAW_SECONDS:
            self.presenter.update_list()

    def _end_votes(self, error: NsadError | None) -> None:
        now = time.monotonic()
        self.rest_until = now + max(1.0, REST_FACTOR * (now - self._started))
        self.presenter.report(error)
        if error is not None:
            self._signatures = ()
        elif not self.presenter.state.problem_list.problems:
            self.screen.show_empty(
                f"The chain store of {self.run_name} is empty.\n\nnsad eval --run {self.run_name} fills it"
            )
        self.read_pairs()
        self.presenter.update_list(reread=True)
