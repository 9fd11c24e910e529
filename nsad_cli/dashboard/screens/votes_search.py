"""Search in questions and chains on the votes screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

from nsad_cli.dashboard.live.votes_reader import find_matches

if TYPE_CHECKING:
    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.votes_presenter import VotesPresenter
    from nsad_cli.errors import NsadError


class ProblemSearch:
    """The search field; it restricts the list to problems that contain a text."""

    def __init__(self, screen: View, presenter: VotesPresenter) -> None:
        self.screen, self.presenter = screen, presenter

    @property
    def _input(self) -> Input:
        return self.screen.query_one("#votes-search", Input)

    @property
    def editing(self) -> bool:
        """Whether the search field is open."""
        return self.screen.has_class("-searching")

    def begin(self) -> None:
        """Show the input field."""
        self.screen.add_class("-searching")
        self._input.focus()

    def submit(self, value: str) -> None:
        """Search for the text in the background; an empty text ends the search."""
        text, problem_list = value.strip(), self.presenter.state.problem_list
        here = problem_list.this_side
        if not text or here is None:
            self.end()
            return
        self.screen.remove_class("-searching")
        problem_list.search, problem_list.hits = text, set()
        self.screen.run_in_background("search", lambda: find_matches(here, text), self._take_hits, self._finish)
        self.presenter.panes.go("list")
        self.presenter.draw_status()

    def end(self) -> None:
        """Show all problems again."""
        self.screen.remove_class("-searching")
        self._input.value = ""
        self.screen.cancel_background("search")
        problem_list = self.presenter.state.problem_list
        problem_list.search, problem_list.hits = "", set()
        self.presenter.panes.go("list")
        self.presenter.update_list()

    def _take_hits(self, hits: set[str]) -> None:
        self.presenter.state.problem_list.hits = hits

    def _finish(self, error: NsadError | None) -> None:
        self.presenter.report(error)
        self.presenter.update_list()
