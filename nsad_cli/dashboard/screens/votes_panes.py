"""Panes of the votes screen: problems, chains, bar charts, and a chain's text; their layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from nsad_cli.dashboard.screens.votes_drawing import bars, chain_text
from nsad_cli.dashboard.screens.votes_rows import CHAIN_COLUMNS, chain_rows, problem_rows
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.row_list import RowList
from nsad_cli.voting.bar_chart import one_line

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from nsad_cli.dashboard.screens.votes_state import VotesState
    from nsad_cli.types import Chain

LEVELS = {"list": "#problems", "problem": "#chains", "text": "#text"}
"""The levels of navigation, and the pane that has the focus at each."""


class ProblemRowList(RowList):
    """The list of problems, whose columns depend on its width."""

    def on_resize(self) -> None:
        """Choose the columns for the new width."""
        panes = self.query_ancestor(VotesPanes)
        panes.show_list(self.cursor)
        panes.fit_chains()


class BarsPane(VerticalScroll):
    """The bar charts of the votes."""

    def on_resize(self) -> None:
        """Redraw the bars for the new width."""
        panes = self.query_ancestor(VotesPanes)
        panes.draw_bars()
        panes.fit_chains()


class VotesPanes(Container):
    """Problems and chains at the left, bar charts and a chain's text at the right.

    On narrow screens, only one level of the list, the problem and the text is visible at a time.
    """

    SCOPED_CSS = False
    """The width is a class of the screen, outside the scope of this widget."""
    DEFAULT_CSS = """
    VotesPanes { layout: horizontal; height: 1fr; }
    #votes-left, #votes-right { height: 1fr; }
    #votes-left { width: 42%; }
    #votes-right { width: 1fr; border-left: vkey $panel; }
    #chains { border-top: hkey $panel; max-height: 60%; min-height: 4; }
    #bars { height: auto; max-height: 60%; padding: 0 1; scrollbar-size: 0 1; scrollbar-gutter: stable;
        overflow-x: hidden; }
    #text { height: 1fr; padding: 0 1; border-top: hkey $panel; scrollbar-size-vertical: 1; }
    #text:focus { background: $boost; }
    .-normal VotesPanes, .-narrow VotesPanes {
        &.-at-list #chains, &.-at-list #votes-right, &.-at-problem #problems { display: none; }
        &.-at-text #votes-left, &.-at-text #bars { display: none; }
        &.-at-text #text { border-top: none; }
        #chains { border-top: none; max-height: 100%; }
    }
    .-normal VotesPanes #votes-left { width: 44%; }
    .-normal VotesPanes.-at-list #votes-left, .-narrow VotesPanes.-at-list #votes-left { width: 100%; }
    .-narrow VotesPanes {
        layout: vertical;
        #votes-right { border-left: none; }
        &.-at-problem #votes-left { width: 100%; height: 6; }
        &.-at-problem #bars { border-top: hkey $panel; max-height: 100%; }
        &.-at-problem #text { display: none; }
    }
    """

    def __init__(self, state: VotesState) -> None:
        super().__init__(id="votes", classes="-at-list")
        self.state = state
        self.level, self.latex = "list", False

    def compose(self) -> ComposeResult:
        """Create the four panes."""
        with Container(id="votes-left"):
            yield ProblemRowList((), id="problems")
            yield RowList(CHAIN_COLUMNS, id="chains")
        with Container(id="votes-right"):
            with BarsPane(id="bars", can_focus=False):
                yield Static(id="bars-drawn", markup=False)
            with VerticalScroll(id="text", can_focus=True):
                yield Static(id="text-drawn", markup=False)

    @property
    def problems(self) -> RowList:
        """The list of problems."""
        return self.query_one("#problems", RowList)

    @property
    def chains(self) -> RowList:
        """The list of the open problem's chains."""
        return self.query_one("#chains", RowList)

    @property
    def wide(self) -> bool:
        """Whether all panes are visible at once."""
        return self.screen.has_class("-wide")

    @property
    def chain(self) -> Chain | None:
        """The chain under the cursor, if it is visible."""
        place, chains = self.chains.cursor, self.state.open_problem.chains
        return chains[place] if place < len(chains) and (self.wide or self.level != "list") else None

    # --- drawing ----------------------------------------------------------------------------------------------------

    def show_list(self, cursor: int) -> None:
        """Show the rows of the list of problems."""
        rows = self.problems
        columns, row = problem_rows(self.state.problem_list, rows.size.width, tints(self.app))
        rows.columns = tuple(columns)
        rows.show(len(self.state.problem_list.rows), row, cursor=cursor)

    def show_problem(self, cursor: int | None = None) -> None:
        """Show the open problem: chains, bars, text."""
        chains = self.state.open_problem.chains
        rows = chain_rows(self.state.open_problem, self.state.problem_list.rule, tints(self.app))
        self.chains.show(len(chains), rows, cursor=cursor)
        self.fit_chains()
        self.draw_bars()
        self.draw_text()

    def fit_chains(self) -> None:
        """Limit the height of the list of chains to its rows if the list of problems is visible too."""
        self.chains.styles.height = len(self.state.open_problem.chains) + 2 if self.wide else "1fr"

    def draw_bars(self) -> None:
        """Draw the question, the gold answer and every rule's bars."""
        width = max(self.query_one("#bars").scrollable_content_region.width, 20)
        lines = 4 if self.screen.size.height >= 30 else 1 if self.screen.has_class("-narrow") else 2
        self.query_one("#bars-drawn", Static).update(
            bars(self.state.open_problem, self.state.problem_list, width, lines, tints(self.app))
        )

    def draw_text(self) -> None:
        """Draw the text of the chain under the cursor; at the text level, preceded by the full question."""
        place, colours = self.chains.cursor, tints(self.app)
        problem, chains = self.state.open_problem.problem, self.state.open_problem.chains
        parts: list[RenderableType] = []
        if problem is not None and self.level == "text":
            parts.append(Text(one_line(problem.question), colours["dim"]))
        if place < len(chains):
            parts.append(chain_text(chains[place], colours, self.state.problem_list.search, self.latex))
        self.query_one("#text-drawn", Static).update(Group(*parts))

    # --- navigation -------------------------------------------------------------------------------------------------

    def go(self, level: str) -> None:
        """Show a level and focus its pane."""
        self._at(level)
        self.query_one(LEVELS[level]).focus()

    def _at(self, level: str) -> None:
        """Set the layout of a level, and redraw the text."""
        self.level = level
        for name in LEVELS:
            self.set_class(name == level, f"-at-{name}")
        self.draw_text()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Set the level from the focus if all panes are visible."""
        level = next((name for name, pane in LEVELS.items() if pane == f"#{event.widget.id}"), None)
        if self.wide and level and level != self.level:
            self._at(level)

    def go_up(self) -> bool:
        """Go up one level; return False at the top level."""
        if self.level == "list":
            return False
        self.go("list" if self.level == "problem" else "problem")
        return True
