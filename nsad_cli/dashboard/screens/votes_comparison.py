"""Dialogs of the votes screen that choose a chain set, or the other side of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.votes_reader import ComparisonSide, list_sides
from nsad_cli.dashboard.widgets.chooser import Chooser

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.dashboard.context import DashboardContext
    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.votes_follower import VotesFollower

MAX_RUNS = 12
"""Maximum number of runs offered for a comparison."""


class ChainChoices:
    """The dialogs, and the application of the choice."""

    def __init__(self, screen: View, follower: VotesFollower) -> None:
        self.screen, self.follower, self.presenter = screen, follower, follower.presenter

    def choose_set(self) -> None:
        """Choose another chain set of this run."""
        problem_list = self.presenter.state.problem_list
        sets = list(reversed(problem_list.sets))

        def apply(place: int | None) -> None:
            if place is None or self.follower.run_name is None:
                return
            self.follower.switch_to(self.follower.run_name, sets[place].key)
            self.presenter.panes.go("list")
            self.follower.follow(self.screen.context.run)

        current = next((i for i, item in enumerate(sets) if item == problem_list.chosen), 0)
        self.screen.app.push_screen(Chooser("Select a chain set", [item.title for item in sets], current), apply)

    def toggle_comparison(self) -> None:
        """End the comparison, or list what the chains can be compared with in a dialog."""
        problem_list = self.presenter.state.problem_list
        here = problem_list.this_side
        if problem_list.other:
            self._compare(None)
        elif here is not None:
            context = self.screen.context
            self.screen.run_in_background(
                "sides",
                lambda: iter([list_sides(comparable_runs(context), here)]),
                self._choose_side,
                self.presenter.report,
            )

    def _choose_side(self, found: list[ComparisonSide]) -> None:
        if not found:
            self.screen.notify("nothing to compare with: no other run, chain set or ranker")
            return

        def apply(place: int | None) -> None:
            if place is not None:
                self._compare(found[place])

        self.screen.app.push_screen(Chooser("Compare with", [side.title for side in found]), apply)

    def _compare(self, side: ComparisonSide | None) -> None:
        self.screen.cancel_background("pairs")
        self.presenter.state.problem_list.compare(side)
        self.follower.read_pairs()
        self.presenter.panes.go("list")
        self.presenter.update_list(reread=True)


def comparable_runs(context: DashboardContext) -> list[Path]:
    """Return at most MAX_RUNS run folders: the selected run, the marked ones, then those with the newest chains."""
    first = [run.path for run in context.overlaid()]
    others = [path for path in context.home.iterdir() if (path / "chains.sqlite").is_file()]
    others.sort(key=lambda path: (path / "chains.sqlite").stat().st_mtime_ns, reverse=True)
    return list(dict.fromkeys([*first, *others]))[:MAX_RUNS]
