"""The votes screen: filtered problems, their chains, each rule's votes, and counterfactuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.votes_comparison import ChainChoices
from nsad_cli.dashboard.screens.votes_follower import VotesFollower
from nsad_cli.dashboard.screens.votes_panes import VotesPanes
from nsad_cli.dashboard.screens.votes_presenter import VotesPresenter
from nsad_cli.dashboard.screens.votes_rows import chain_data, problem_data
from nsad_cli.dashboard.screens.votes_search import ProblemSearch
from nsad_cli.dashboard.screens.votes_state import VotesState
from nsad_cli.dashboard.screens.votes_what_if import WhatIfKeys
from nsad_cli.voting.problem_filters import DEFAULT_RULES
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import ExportTable
    from nsad_cli.dashboard.widgets.row_list import RowList


class VotesView(View):
    """The problems of a run and their votes.

    On a narrow screen the list, the problem and the text are shown one at a time: Enter opens the next one, Escape
    goes back.
    """

    NAME = "votes"
    AUTO_FOCUS = "#problems"
    CSS = """
    #votes-state { height: auto; max-height: 3; padding: 0 1; background: $surface; text-wrap: nowrap;
        text-overflow: ellipsis; }
    #votes-search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    VotesView.-searching #votes-search { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "filter(1)", "Filter", tooltip="Next filter: rules disagree, gold loses, close votes, no answer"),
        Binding("F", "filter(-1)", "Previous filter", show=False),
        Binding("slash", "search", "Find", key_display="/", tooltip="Search in questions and chains"),
        Binding("space", "what_if('toggle_chain')", "Drop",
                tooltip="What if: exclude this chain, or include it again"),
        Binding("m", "what_if('flip')", "Flip",
                tooltip="What if: exclude the smallest set of chains that changes the winner"),
        Binding("r", "what_if('reset')", "Reset", tooltip="Reset the what-if: all chains, original weights"),
        Binding("o", "what_if('only_this_answer')", "Only", show=False,
                tooltip="What if: only the chains with this chain's answer"),
        Binding("left_square_bracket", "what_if('change_count', -1)", "Fewer", key_display="[", show=False,
                tooltip="What if: one chain fewer had been sampled"),
        Binding("right_square_bracket", "what_if('change_count', 1)", "More", key_display="]", show=False,
                tooltip="What if: include one more of the chains excluded with ["),
        Binding("minus", "what_if('change_power', -1)", "Flatter", key_display="-", show=False,
                tooltip="What if: a smaller exponent of the weights; 0 gives all chains the same weight"),
        Binding("plus,equals_sign", "what_if('change_power', 1)", "Steeper", show=False,
                tooltip="What if: a larger exponent of the weights"),
        Binding("w", "what_if('next_ranker')", "Weights", show=False, tooltip="What if: another ranker's weights"),
        Binding("v", "rule", "Rule", show=False, tooltip="Next deciding rule, for margins, filters and weights"),
        Binding("c", "compare", "Compare", show=False, tooltip="Compare with another run, set or ranker, or stop"),
        Binding("s", "sets", "Set", show=False, tooltip="Select another chain set of this run"),
        Binding("n", "step(1)", "Next", show=False, tooltip="Next problem in the list"),
        Binding("p", "step(-1)", "Previous", show=False, tooltip="Previous problem in the list"),
        Binding("l", "latex", "LaTeX", show=False, tooltip="Formulas rendered, or source with unlikely tokens marked"),
        Binding("escape", "back", "Back", show=False, tooltip="Back: from the text to the chains to the list"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.state = VotesState()
        self.panes = VotesPanes(self.state)
        self.presenter = VotesPresenter(self, self.state, self.panes)
        self.follower = VotesFollower(self, self.presenter)
        self.search = ProblemSearch(self, self.presenter)
        self.what_if = WhatIfKeys(self, self.presenter)
        self.choices = ChainChoices(self, self.follower)

    def body(self) -> ComposeResult:
        """Create the status line, the search field, and the panes."""
        yield Static(id="votes-state", markup=False)
        yield Input(id="votes-search", placeholder="search text in questions and chains", compact=True)
        yield self.panes

    def on_mount(self) -> None:
        """Redraw when the theme changes, because colours are chosen when text is drawn."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.presenter.redraw())

    def follow(self) -> None:
        """Read the run's chains if they have changed."""
        self.follower.follow(self.context.run)

    def data(self) -> ExportTable | None:
        """Return the open problem's chains, or the problems if the list has the focus."""
        problem_list, open_problem = self.state.problem_list, self.state.open_problem
        return problem_data(problem_list) if self.panes.level == "list" else chain_data(open_problem, problem_list.rule)

    # --- navigation ---------------------------------------------------------------------------------------------------

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Open the problem under the cursor, or show the text of the chain under it."""
        if event.rows is self.panes.problems and event.index < len(self.state.problem_list.rows):
            self.presenter.open(self.state.problem_list.rows[event.index])
        elif event.rows is self.panes.chains:
            self.panes.draw_text()
            self.query_one("#text").scroll_home(animate=False)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Show the next level: the problem, or the text."""
        self.panes.go("problem" if event.rows is self.panes.problems else "text")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search for the text."""
        self.search.submit(event.value)

    def action_back(self) -> None:
        """Leave the search field, or go up one level; in the list, end the search."""
        if self.search.editing or not self.panes.go_up():
            self.search.end()

    def action_step(self, by: int) -> None:
        """Go to the next or previous problem, wherever the focus is."""
        self.panes.problems.cursor += by

    # --- display ------------------------------------------------------------------------------------------------------

    def action_filter(self, by: int) -> None:
        """Select the next or previous filter."""
        self.state.problem_list.next_filter(by)
        self.presenter.update_list()

    def action_rule(self) -> None:
        """Select the next deciding rule; its winners are computed if they are not available yet."""
        problem_list = self.state.problem_list
        problem_list.rule = RULES[(RULES.index(problem_list.rule) + 1) % len(RULES)]
        if problem_list.rule not in DEFAULT_RULES:
            self.follower.reread()
        self.presenter.update_list()
        self.presenter.redraw_problem()

    def action_latex(self) -> None:
        """Switch between rendered formulas and LaTeX source."""
        self.panes.latex = not self.panes.latex
        self.panes.draw_text()

    def action_search(self) -> None:
        """Show the search field."""
        self.search.begin()

    def action_what_if(self, change: str, *arguments: int) -> None:
        """Change the counterfactual; see WhatIfKeys."""
        self.what_if.changes[change](*arguments)

    def action_sets(self) -> None:
        """Choose another chain set of this run."""
        self.choices.choose_set()

    def action_compare(self) -> None:
        """Begin a comparison, or end it."""
        self.choices.toggle_comparison()
