"""Votes taken apart: problems worth a look, their chains, every rule's bars, and what were, were it otherwise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from nsad_cli.dashboard.live.votes_reader import (
    Opened,
    Pairs,
    Part,
    Side,
    read_hits,
    read_pairs,
    read_votes,
    sides,
    signature,
)
from nsad_cli.dashboard.screens.base import View
from nsad_cli.dashboard.screens.votes_panes import VotesPanes
from nsad_cli.dashboard.screens.votes_rows import chain_data, problem_data, state
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.widgets.chooser import Chooser
from nsad_cli.errors import NsadError
from nsad_cli.voting.counterfactuals import WhatIf
from nsad_cli.voting.problem_filters import DEFAULT_RULES
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import ComposeResult

    from nsad_cli.dashboard.export import Data
    from nsad_cli.dashboard.screens.votes_state import OpenProblem, ProblemList
    from nsad_cli.dashboard.widgets.row_list import RowList
    from nsad_cli.types import Problem

REDRAW = 0.4
"""Seconds between two drawings of a list that is still being read."""
REST = 5.0
"""How many times its own duration a reading rests before the next, where the store keeps growing."""
MAX_RUNS = 12
"""Runs that are offered for a comparison."""


class VotesView(View):
    """The problems of a run and their votes.

    Where there is little room the list, the problem and the text take turns: Enter goes deeper, Escape back.
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
        Binding("f", "queue(1)", "Queue", tooltip="The next queue: rules disagree, gold loses, near, no answer"),
        Binding("F", "queue(-1)", "Queue before", show=False),
        Binding("slash", "search", "Find", key_display="/", tooltip="Search in questions and chains"),
        Binding("space", "leave_out", "Drop", tooltip="What if: leave this chain out, or take it back in"),
        Binding("m", "flip", "Flip", tooltip="What if: leave out the smallest set that makes another answer win"),
        Binding("r", "reset", "Reset", tooltip="Assume nothing: all chains, weights as they are"),
        Binding("o", "only", "Only", show=False, tooltip="What if: only the chains with this chain's answer"),
        Binding("left_square_bracket", "first(-1)", "Fewer", key_display="[", show=False,
                tooltip="What if: one chain fewer had been drawn"),
        Binding("right_square_bracket", "first(1)", "More", key_display="]", show=False,
                tooltip="What if: one chain more of those left out by ["),
        Binding("minus", "power(-1)", "Flatter", key_display="-", show=False,
                tooltip="What if: weights count less; at 0 they are counted"),
        Binding("plus,equals_sign", "power(1)", "Steeper", show=False,
                tooltip="What if: weights count more (an exponent)"),
        Binding("w", "weights", "Weights", show=False, tooltip="What if: another ranker's weights"),
        Binding("v", "rule", "Rule", show=False, tooltip="Another rule decides: margins, queues, weights"),
        Binding("c", "compare", "Compare", show=False, tooltip="Compare with another run, set or ranker; again: stop"),
        Binding("s", "sets", "Set", show=False, tooltip="Another model's chains of this run"),
        Binding("n", "step(1)", "Next", show=False, tooltip="The next problem of the queue"),
        Binding("p", "step(-1)", "Previous", show=False, tooltip="The problem before"),
        Binding("l", "latex", "LaTeX", show=False, tooltip="Formulas as they look, or as they were written with marks"),
        Binding("escape", "back", "Back", show=False, tooltip="Back: from the text to the chains to the list"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.panes = VotesPanes()
        self.run_shown: str | None = None
        self.wanted: dict[str, str] | None = None
        """The key of the set asked for; None: the default one."""
        self._seen: tuple[object, ...] = ()
        self._started = self._rest_until = self._drawn = 0.0
        self._trouble = ""
        self._unopened: Problem | None = None
        """A problem whose chains could not be read: it is tried again."""

    def body(self) -> ComposeResult:
        """State, search, and the panes."""
        yield Static(id="votes-state", markup=False)
        yield Input(id="votes-search", placeholder="a text in questions and chains", compact=True)
        yield self.panes

    @property
    def listed(self) -> ProblemList:
        """The list of problems."""
        return self.panes.listed

    @property
    def opened(self) -> OpenProblem:
        """The problem that is open."""
        return self.panes.opened

    def on_mount(self) -> None:
        """Colours are chosen where text is drawn."""
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.draw_all())

    # --- reading ----------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Read the run's chains where they are new, or have changed since."""
        run = self.reader.run
        if (run.name if run else None) != self.run_shown:
            self._leave(run.name if run else None)
        if run is None:
            self.say_empty(
                self.without_run("There is no run to look into yet.\n\nMake one: nsad demo, or nsad run RECIPE")
            )
            return
        if not run.chains_path.is_file():
            self._leave(run.name)
            self.say_empty(
                f"{run.name} has no chains yet: nothing was voted on.\n\n"
                f"nsad eval --run {run.name} samples some for its benchmarks,\n"
                f'nsad solve --run {run.name} "…" for a problem of yours.'
            )
            return
        other = self.listed.other
        found = (signature(run.chains_path), signature(other.path) if other else None)
        if found != self._seen and not self.busy("votes", "pairs") and time.monotonic() >= self._rest_until:
            self._seen, self._started = found, time.monotonic()
            self.listed.run, self.listed.path = run.name, run.chains_path
            path, wanted, rules = run.chains_path, self.wanted, self.listed.rules
            self.behind("votes", lambda: read_votes(path, wanted, rules), self._take, self._read)
            self.draw_state()
        self.say(self._trouble)
        if self._unopened is not None:
            self._open(self._unopened, again=True)

    def _leave(self, name: str | None) -> None:
        """Forget a run."""
        self.give_up()
        self.panes.forget()
        self.run_shown, self.wanted, self._unopened = name, None, None
        self._seen, self._rest_until, self._trouble = (), 0.0, ""

    def _take(self, found: Opened | Part) -> None:
        """Some more of the votes."""
        if isinstance(found, Opened):
            self.listed.open(found)
        else:
            self.listed.outcomes.update(found.outcomes)
        if self.listed.problems:
            self.say_empty(None)
        if isinstance(found, Opened) or time.monotonic() >= self._drawn + REDRAW:
            self.rearrange()

    def _read(self, error: NsadError | None) -> None:
        """All votes are there, or no more can be read."""
        now = time.monotonic()
        self._rest_until = now + max(1.0, REST * (now - self._started))
        self._tell(error)
        if error is not None:
            self._seen = ()
        elif not self.listed.problems:
            self.say_empty(
                f"The chain store of {self.run_shown} is empty.\n\nnsad eval --run {self.run_shown} fills it"
            )
        self._read_pairs()
        self.rearrange(again=True)

    def _read_pairs(self) -> None:
        """Read both sides of a comparison; what was read before stays until then."""
        here, there, rules, found = self.listed.here, self.listed.other, self.listed.rules, Pairs()
        if here is None or there is None:
            return

        def end(error: NsadError | None) -> None:
            self.listed.pairs = found
            self._tell(error)
            self.rearrange(again=True)

        self.behind("pairs", lambda: read_pairs(here, there, rules), found.update, end)

    def _tell(self, error: NsadError | None) -> None:
        """Tell why something cannot be read, or that it can be again."""
        self._trouble = str(error) if error else ""
        if error and not self.listed.problems:
            self.say_empty(f"{error}\n\n{error.fix}")
        else:
            self.say(self._trouble)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def rearrange(self, again: bool = False) -> None:
        """Find the list's rows anew, the cursor on the problem that is open; again: read that one anew."""
        self._drawn = time.monotonic()
        listed, panes = self.listed, self.panes
        listed.arrange()
        problem = self.opened.problem or self._unopened
        place = next((i for i, item in enumerate(listed.rows) if problem and item.id == problem.id), 0)
        panes.show_list(place)
        self._open(listed.rows[place] if listed.rows else None, again)
        if not listed.rows and panes.level != "list":
            panes.go("list")
        self.draw_state()

    def _open(self, problem: Problem | None, again: bool = False) -> None:
        """Open a problem, unless it is open."""
        opened = self.opened
        if not again and opened.problem == problem and (problem is None or opened.chains):
            return
        same, before = opened.problem == problem, (opened.chains, opened.there, opened.compared)
        try:
            opened.read(self.listed, problem)
            if self._unopened is not None:
                self._unopened, self._trouble = None, ""
        except (NsadError, OSError) as error:
            self._unopened, self._trouble = problem, str(error)
        self.say(self._trouble)
        if not same or before != (opened.chains, opened.there, opened.compared):
            self.draw_problem(0 if not same else self.panes.chains.cursor)

    def draw_all(self) -> None:
        """Draw everything in the colours of another theme."""
        self.panes.show_list(self.panes.problems.cursor)
        self.draw_problem(self.panes.chains.cursor)

    def draw_problem(self, cursor: int | None = None) -> None:
        """Draw the open problem, and what is assumed of it."""
        self.panes.show_problem(cursor)
        self.draw_state()

    def draw_state(self) -> None:
        """Say what is looked at, what is assumed, and what it is compared with."""
        busy = self.busy("votes"), self.busy("search")
        self.query_one("#votes-state", Static).update(state(self.listed, self.opened, *busy, tints(self.app)))

    def data(self) -> Data | None:
        """The open problem's chains; where the list has the focus, its problems."""
        listed, opened = self.listed, self.opened
        return problem_data(listed) if self.panes.level == "list" else chain_data(opened, listed.rule)

    # --- moving about -----------------------------------------------------------------------------------------------

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Another problem, or another chain."""
        if event.rows is self.panes.problems and event.index < len(self.listed.rows):
            self._open(self.listed.rows[event.index])
        elif event.rows is self.panes.chains:
            self.panes.draw_text()
            self.query_one("#text").scroll_home(animate=False)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Go deeper."""
        self.panes.go("problem" if event.rows is self.panes.problems else "text")

    def action_back(self) -> None:
        """Out of what is typed; one level up; from the list out of a search."""
        if self.has_class("-searching") or not self.panes.up():
            self.end_search()

    def action_step(self, by: int) -> None:
        """Another problem, wherever the focus is."""
        self.panes.problems.cursor += by

    def action_queue(self, by: int) -> None:
        """Another queue."""
        self.listed.next_queue(by)
        self.rearrange()

    def action_rule(self) -> None:
        """Another rule decides; one that the list has not counted yet is counted."""
        listed = self.listed
        listed.rule = RULES[(RULES.index(listed.rule) + 1) % len(RULES)]
        if listed.rule not in DEFAULT_RULES:
            self.give_up("votes", "pairs")
            self._seen, self._rest_until = (), 0.0
            self.follow()
        self.rearrange()
        self.draw_problem(self.panes.chains.cursor)

    def action_latex(self) -> None:
        """Formulas as they look, or marks."""
        self.panes.latex = not self.panes.latex
        self.panes.draw_text()

    # --- search -----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Ask for a text."""
        self.add_class("-searching")
        self.query_one("#votes-search", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search for it."""
        text, here = event.value.strip(), self.listed.here
        if not text or here is None:
            self.end_search()
            return
        self.remove_class("-searching")
        self.listed.search, self.listed.hits = text, set()
        self.behind("search", lambda: read_hits(here, text), self._found, self._searched)
        self.panes.go("list")
        self.draw_state()

    def _found(self, hits: set[str]) -> None:
        self.listed.hits = hits

    def _searched(self, error: NsadError | None) -> None:
        self._tell(error)
        self.rearrange()

    def end_search(self) -> None:
        """Show all again."""
        self.remove_class("-searching")
        self.query_one("#votes-search", Input).value = ""
        self.give_up("search")
        self.listed.search, self.listed.hits = "", set()
        self.panes.go("list")
        self.rearrange()

    # --- what if ----------------------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        self.draw_problem(self.panes.chains.cursor)

    def action_leave_out(self) -> None:
        """Leave the chain out, or take it back in."""
        if (chain := self.panes.chain) is not None:
            self.opened.assume(excluded=self.opened.what_if.excluded ^ {chain.index})
            self._redraw()

    def action_only(self) -> None:
        """Only the chains that say the same, or all again."""
        chain = self.panes.chain
        if chain is None:
            return
        if chain.answer_class is None:
            self.notify("this chain has no answer")
            return
        self.opened.assume(only=None if self.opened.what_if.only == chain.answer_class else chain.answer_class)
        self._redraw()

    def action_flip(self) -> None:
        """Leave out the smallest set of chains that makes another answer win by the rule that decides."""
        held = self.opened.standing(self.listed.rule)
        if held is None or self.panes.chain is None:
            return
        if isinstance(held.flip, str):
            self.notify(f"{held.rule}: {held.flip}")
        else:
            self.opened.assume(excluded=self.opened.what_if.excluded | set(held.flip))
            self._redraw()

    def action_first(self, by: int) -> None:
        """As if fewer chains had been drawn, or more again."""
        if self.panes.chain is not None:
            self.opened.fewer(-by)
            self._redraw()

    def action_power(self, by: int) -> None:
        """Weights count less or more."""
        if self.panes.chain is not None:
            self.opened.steeper(by)
            self._redraw()

    def action_weights(self) -> None:
        """The next ranker that has scored these chains."""
        listed, opened = self.listed, self.opened
        names = list(reversed(listed.chosen.rankers)) if listed.chosen else []
        if len(names) < 2:
            self.notify("no other ranker has scored these chains")
            return
        name = names[(names.index(opened.ranker or names[0]) + 1) % len(names)]
        opened.ranker = None if name == listed.ranker else name
        self._open(opened.problem, again=True)

    def action_reset(self) -> None:
        """Assume nothing."""
        self.opened.ranker, self.opened.what_if = None, WhatIf()
        self._open(self.opened.problem, again=True)
        self._redraw()

    # --- other chains -----------------------------------------------------------------------------------------------

    def action_sets(self) -> None:
        """Choose another set of this run."""
        sets = list(reversed(self.listed.sets))

        def chosen(place: int | None) -> None:
            if place is None or self.run_shown is None:
                return
            self._leave(self.run_shown)
            self.wanted = sets[place].key
            self.panes.go("list")
            self.follow()

        here = next((i for i, item in enumerate(sets) if item == self.listed.chosen), 0)
        self.app.push_screen(Chooser("Which chains?", [item.title for item in sets], here), chosen)

    def action_compare(self) -> None:
        """Begin a comparison, or end it."""
        here = self.listed.here
        if self.listed.other:
            self._compare(None)
        elif here is not None:
            self.behind("sides", lambda: iter([sides(self._homes(), here)]), self._choose_side, self._tell)

    def _choose_side(self, found: list[Side]) -> None:
        if not found:
            self.notify("there are no other chains: no other run, set or ranker")
            return

        def chosen(place: int | None) -> None:
            if place is not None:
                self._compare(found[place])

        self.app.push_screen(Chooser("Compare with which chains?", [side.title for side in found]), chosen)

    def _compare(self, side: Side | None) -> None:
        self.give_up("pairs")
        self.listed.compare(side)
        self._read_pairs()
        self.panes.go("list")
        self.rearrange(again=True)

    def _homes(self) -> list[Path]:
        """Folders of runs to compare with: this one, those marked, then the others, the latest first."""
        first = [run.path for run in self.reader.overlaid()]
        others = [path for path in self.reader.home.iterdir() if (path / "chains.sqlite").is_file()]
        others.sort(key=lambda path: (path / "chains.sqlite").stat().st_mtime_ns, reverse=True)
        return list(dict.fromkeys([*first, *others]))[:MAX_RUNS]
