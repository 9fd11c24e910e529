"""Updates of the votes screen's panes and status line after changes of its state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.widgets import Static

from nsad_cli.dashboard.screens.votes_rows import status_text
from nsad_cli.dashboard.themes import tints
from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.votes_panes import VotesPanes
    from nsad_cli.dashboard.screens.votes_state import VotesState
    from nsad_cli.types import Problem


class VotesPresenter:
    """Opens problems, and redraws the widgets that a change of the state affects."""

    def __init__(self, screen: View, state: VotesState, panes: VotesPanes) -> None:
        self.screen, self.state, self.panes = screen, state, panes
        self.error = ""
        """The last read error; empty if there was none."""
        self.unread_problem: Problem | None = None
        """A problem whose chains could not be read; `retry` opens it again."""
        self.updated = 0.0
        """Monotonic time of the last update of the list."""

    def reset(self) -> None:
        """Clear the state of the run."""
        self.state.reset()
        self.error, self.unread_problem = "", None

    def report(self, error: NsadError | None) -> None:
        """Show a read error; None clears it."""
        self.error = str(error) if error else ""
        if error and not self.state.problem_list.problems:
            self.screen.show_empty(f"{error}\n\n{error.fix}")
        else:
            self.screen.show_notice(self.error)

    def update_list(self, reread: bool = False) -> None:
        """Update the list's rows, with the cursor on the open problem.

        Args:
            reread: Read the open problem's chains again.
        """
        self.updated = time.monotonic()
        problem_list, panes = self.state.problem_list, self.panes
        problem_list.arrange()
        problem = self.state.open_problem.problem or self.unread_problem
        place = next((i for i, item in enumerate(problem_list.rows) if problem and item.id == problem.id), 0)
        panes.show_list(place)
        self.open(problem_list.rows[place] if problem_list.rows else None, reread)
        if not problem_list.rows and panes.level != "list":
            panes.go("list")
        self.draw_status()

    def open(self, problem: Problem | None, reread: bool = False) -> None:
        """Open a problem unless it is open already; None closes the open one."""
        current = self.state.open_problem
        if not reread and current.problem == problem and (problem is None or current.chains):
            return
        same, before = current.problem == problem, (current.chains, current.other_chains, current.compared)
        try:
            current.read(self.state.problem_list, problem)
            if self.unread_problem is not None:
                self.unread_problem, self.error = None, ""
        except (NsadError, OSError) as error:
            self.unread_problem, self.error = problem, str(error)
        self.screen.show_notice(self.error)
        if not same or before != (current.chains, current.other_chains, current.compared):
            self.draw_problem(0 if not same else self.panes.chains.cursor)

    def retry(self) -> None:
        """Open the problem whose chains could not be read, if there is one."""
        if self.unread_problem is not None:
            self.open(self.unread_problem, reread=True)

    def redraw(self) -> None:
        """Redraw everything, for example after a change of theme."""
        self.panes.show_list(self.panes.problems.cursor)
        self.redraw_problem()

    def redraw_problem(self) -> None:
        """Redraw the open problem, with the cursor on the same chain."""
        self.draw_problem(self.panes.chains.cursor)

    def draw_problem(self, cursor: int | None = None) -> None:
        """Draw the open problem with the cursor on a chain, and the status line."""
        self.panes.show_problem(cursor)
        self.draw_status()

    def draw_status(self) -> None:
        """Draw the status line: the list, the comparison, the counterfactual."""
        reading, searching = self.screen.busy("votes"), self.screen.busy("search")
        text = status_text(self.state.problem_list, self.state.open_problem, reading, searching, tints(self.screen.app))
        self.screen.query_one("#votes-state", Static).update(text)
