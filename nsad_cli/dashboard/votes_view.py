"""Votes taken apart: problems worth a look, their chains, every rule's bars, and what were, were it otherwise."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import ClassVar, cast

from rich.console import Group, RenderableType
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Static

from nsad_cli.ballots.bars import draw, fitting, one_line
from nsad_cli.ballots.queues import SHOWN
from nsad_cli.ballots.standings import standings
from nsad_cli.ballots.whatif import WhatIf
from nsad_cli.dashboard.background import Background
from nsad_cli.dashboard.chooser import Chooser
from nsad_cli.dashboard.export import Data
from nsad_cli.dashboard.row_list import RowList
from nsad_cli.dashboard.themes import tints
from nsad_cli.dashboard.view import View
from nsad_cli.dashboard.votes_panes import chain_text, drawn
from nsad_cli.dashboard.votes_reading import Opened, Part, Side, read_hits, read_side, read_votes, sides, signature
from nsad_cli.dashboard.votes_rows import CHAIN_COLUMNS, chain_data, chain_rows, problem_data, problem_rows, state
from nsad_cli.dashboard.votes_state import POWERS, OpenProblem, ProblemList
from nsad_cli.errors import NsadError
from nsad_cli.types import Chain, Problem
from nsad_cli.voting import RULES

PULSE = 0.05
"""Seconds between two looks at what the background has read."""
REDRAW = 0.4
"""Seconds between two drawings of a list that is still being read."""
REST = 5.0
"""How many times its own duration a reading rests before the next, where the store keeps growing."""
ALL_RULES = 86
"""Cells from which on every rule has its bars."""
MOST_ANSWERS = 40
MOST_RUNS = 12
"""Runs that are offered for a comparison."""
LEVELS = ("list", "problem", "text")


class Problems(RowList):
    """The list of problems, whose columns depend on its width."""

    def on_resize(self) -> None:
        """Choose them anew."""
        view = cast("VotesView", self.screen)
        view.show_list(self.cursor)
        view.fit_chains()


class Bars(VerticalScroll):
    """The votes' bars, as long as there is room."""

    def on_resize(self) -> None:
        """Draw them anew."""
        view = cast("VotesView", self.screen)
        view.draw_bars()
        view.fit_chains()


class VotesView(View):
    """Problems at the left, their chains below them, at the right every rule's bars and a chain's text.

    Where there is less room the list, the problem and the text take turns: Enter goes deeper, Escape back.
    """

    NAME = "votes"
    AUTO_FOCUS = "#problems"
    CSS = """
    #votes-state { height: auto; max-height: 3; padding: 0 1; background: $surface; text-wrap: nowrap;
        text-overflow: ellipsis; }
    #votes-search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    VotesView.-searching #votes-search { display: block; }
    #votes { layout: horizontal; height: 1fr; }
    #votes-left, #votes-right { height: 1fr; }
    #votes-left { width: 42%; }
    #votes-right { width: 1fr; border-left: vkey $panel; }
    #chains { border-top: hkey $panel; max-height: 60%; min-height: 4; }
    #bars { height: auto; max-height: 60%; padding: 0 1; scrollbar-size: 0 1; scrollbar-gutter: stable;
        overflow-x: hidden; }
    #text { height: 1fr; padding: 0 1; border-top: hkey $panel; scrollbar-size-vertical: 1; }
    #text:focus { background: $boost; }
    VotesView.-normal #votes-left { width: 44%; }
    VotesView.-normal.-at-list #chains, VotesView.-narrow.-at-list #chains { display: none; }
    VotesView.-normal.-at-list #votes-right, VotesView.-narrow.-at-list #votes-right { display: none; }
    VotesView.-normal.-at-list #votes-left, VotesView.-narrow.-at-list #votes-left { width: 100%; }
    VotesView.-normal.-at-problem #problems, VotesView.-narrow.-at-problem #problems { display: none; }
    VotesView.-normal.-at-text #votes-left, VotesView.-narrow.-at-text #votes-left { display: none; }
    VotesView.-normal.-at-text #bars, VotesView.-narrow.-at-text #bars { display: none; }
    VotesView.-normal #chains, VotesView.-narrow #chains { border-top: none; max-height: 100%; }
    VotesView.-narrow #votes { layout: vertical; }
    VotesView.-narrow #votes-right { border-left: none; }
    VotesView.-narrow.-at-problem #votes-left { width: 100%; height: 6; }
    VotesView.-narrow.-at-problem #bars { border-top: hkey $panel; max-height: 100%; }
    VotesView.-narrow.-at-problem #text { display: none; }
    VotesView.-normal.-at-text #text, VotesView.-narrow.-at-text #text { border-top: none; }
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
        super().__init__(classes="-at-list")
        self.listed, self.opened = ProblemList(), OpenProblem()
        self.reading: Background[Opened | Part] | None = None
        self.searching: Background[set[str]] | None = None
        self.comparing: Background[Part] | None = None
        self.looking: Background[list[Side]] | None = None
        self.run_shown: str | None = None
        self.wanted: dict[str, str] | None = None
        self.level, self.latex = "list", False
        self._seen: tuple[tuple[int, int], ...] = ()
        self._started = self._rest_until = self._drawn = 0.0
        self._trouble = ""
        self._unopened: Problem | None = None
        """A problem whose chains could not be read: it is tried again."""

    # --- frame ------------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        """State, search, and the four panes."""
        yield Static(id="votes-state", markup=False)
        yield Input(id="votes-search", placeholder="a text in questions and chains", compact=True)
        with Container(id="votes"):
            with Container(id="votes-left"):
                yield Problems((), id="problems")
                yield RowList(CHAIN_COLUMNS, id="chains")
            with Container(id="votes-right"):
                with Bars(id="bars", can_focus=False):
                    yield Static(id="bars-drawn", markup=False)
                with VerticalScroll(id="text", can_focus=True):
                    yield Static(id="text-drawn", markup=False)

    @property
    def problem_rows(self) -> RowList:
        """The list of problems."""
        return self.query_one("#problems", RowList)

    @property
    def chain_rows(self) -> RowList:
        """The list of the open problem's chains."""
        return self.query_one("#chains", RowList)

    @property
    def wide(self) -> bool:
        """Whether all panes are in sight at once."""
        return self.has_class("-wide")

    def on_mount(self) -> None:
        """Begin to pick up what the background reads."""
        self.set_interval(PULSE, self.pulse)
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.draw_all())

    def on_unmount(self) -> None:
        """Want nothing more of it."""
        for work in (self.reading, self.searching, self.comparing, self.looking):
            if work is not None:
                work.cancel()

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
        found = signature(run.chains_path)
        if self.reading is None and found != self._seen and time.monotonic() >= self._rest_until:
            self._seen, self._started, self.listed.path = found, time.monotonic(), run.chains_path
            path, wanted, rules = run.chains_path, self.wanted, self.listed.rules
            self.reading = Background(lambda: read_votes(path, wanted, rules))
            self.draw_state()
        self.say(self._trouble)
        if self._unopened is not None:
            self._open(self._unopened, again=True)
        self.pulse()

    def _leave(self, name: str | None) -> None:
        """Forget a run."""
        self.on_unmount()
        self.listed, self.opened = ProblemList(), OpenProblem()
        self.reading = self.searching = self.comparing = self.looking = self._unopened = None
        self.run_shown, self.wanted, self._seen, self._rest_until, self._trouble = name, None, (), 0.0, ""

    def pulse(self) -> None:
        """Take what the background has read."""
        self._take_votes()
        if (comparing := self.comparing) is not None:
            running, parts = comparing.running, comparing.take()
            for part in parts:
                self.listed.other_outcomes.update(part.outcomes)
            self._tell(comparing)
            self.comparing = comparing if running else None
            if parts or not running:
                self.rearrange()
        if (searching := self.searching) is not None:
            running = searching.running
            for hits in searching.take():
                self.listed.hits = hits
                self.rearrange()
            self._tell(searching)
            self.searching = searching if running else None
            self.draw_state()
        if self.looking is not None and (found := self.looking.take()):
            self.looking = None
            self._choose_side(found[0])
        elif self.looking is not None and not self.looking.running:
            self._tell(self.looking)
            self.looking = None

    def _take_votes(self) -> None:
        work = self.reading
        if work is None:
            return
        running, found = work.running, work.take()
        for item in found:
            if isinstance(item, Opened):
                self.listed.open(item)
            else:
                self.listed.outcomes.update(item.outcomes)
        if not running:
            now = time.monotonic()
            self.reading, self._rest_until = None, now + max(1.0, REST * (now - self._started))
            self._trouble = ""
            self._tell(work)
            if work.error is not None:
                self._seen = ()
            elif not self.listed.problems:
                self.say_empty(
                    f"The chain store of {self.run_shown} is empty.\n\nnsad eval --run {self.run_shown} fills it"
                )
        if self.listed.problems:
            self.say_empty(None)
        due = any(isinstance(item, Opened) for item in found) or time.monotonic() >= self._drawn + REDRAW
        if not running or (found and due):
            self._drawn = time.monotonic()
            self.rearrange(again=not running)

    def _tell(
        self, work: Background[Opened | Part] | Background[Part] | Background[set[str]] | Background[list[Side]]
    ) -> None:
        """Tell a failure of the background."""
        error = work.error
        if error is None:
            return
        self._trouble = str(error) if isinstance(error, NsadError) else f"cannot read: {error}"
        if self.listed.problems:
            self.say(self._trouble)
        else:
            fix = error.fix if isinstance(error, NsadError) else "it is tried again"
            self.say_empty(f"{self._trouble}\n\n{fix}")

    # --- what is shown ----------------------------------------------------------------------------------------------

    def rearrange(self, again: bool = False) -> None:
        """Find the list's rows anew, the cursor on the problem that is open; again: read that one anew."""
        listed, rows = self.listed, self.problem_rows
        listed.arrange()
        problem = self.opened.problem
        place = next((i for i, item in enumerate(listed.rows) if problem and item.id == problem.id), 0)
        self.show_list(place)
        self._open(listed.rows[place] if listed.rows else None, again)
        if not rows.count and self.level != "list":
            self.go("list")
        self.draw_state()

    def show_list(self, cursor: int) -> None:
        """Show the rows that were found."""
        rows = self.problem_rows
        columns, row = problem_rows(self.listed, rows.size.width, tints(self.app))
        rows.columns = tuple(columns)
        rows.show(len(self.listed.rows), row, cursor=cursor)

    def _open(self, problem: Problem | None, again: bool = False) -> None:
        """Open a problem, unless it is open."""
        if not again and self.opened.problem == problem and (problem is None or self.opened.chains):
            return
        same = self.opened.problem == problem
        before = (self.opened.chains, self.opened.there)
        try:
            self.opened.read(self.listed, problem)
            if self._unopened is not None:
                self._unopened, self._trouble = None, ""
        except (NsadError, OSError) as error:
            self._unopened = problem
            self._trouble = str(error)
        self.say(self._trouble)
        if not same or before != (self.opened.chains, self.opened.there):
            self.draw_problem(0 if not same else self.chain_rows.cursor)

    def draw_all(self) -> None:
        """Draw everything in the colours of another theme."""
        self.show_list(self.problem_rows.cursor)
        self.draw_problem(self.chain_rows.cursor)

    def draw_problem(self, cursor: int | None = None) -> None:
        """Draw the open problem: chains, bars, text."""
        chains, rows = self.opened.chains, self.chain_rows
        rows.show(len(chains), chain_rows(self.opened, self.listed.rule, tints(self.app)), cursor=cursor)
        self.fit_chains()
        self.draw_bars()
        self.draw_text()
        self.draw_state()

    def fit_chains(self) -> None:
        """Beside the list of problems the chains take no more room than they need."""
        self.chain_rows.styles.height = len(self.opened.chains) + 2 if self.wide else "1fr"

    def draw_bars(self) -> None:
        """Draw the question, the gold answer, every rule's bars, and the other side's where there is one."""
        pane, opened, listed = self.query_one("#bars"), self.opened, self.listed
        if opened.problem is None:
            self.query_one("#bars-drawn", Static).update("")
            return
        width = max(pane.scrollable_content_region.width, 20)
        colours = tints(self.app)
        wanted = RULES if width >= ALL_RULES else listed.rules
        found = fitting({rule: opened.found[rule] for rule in wanted}, width, listed.rule)
        question = one_line(opened.problem.question)
        room = (width - 8) * (4 if self.size.height >= 30 else 1 if self.has_class("-narrow") else 2)
        parts: list[RenderableType] = [
            Text(question if len(question) <= room else question[: room - 1] + "…", colours["text"]),
            Text(
                f"gold answer: {one_line(opened.problem.answer)}" if opened.problem.answer else "no gold answer", "bold"
            ),
        ]
        lines = draw(found, width, first=listed.rule, before=opened.before, most=MOST_ANSWERS)
        parts.append(drawn(lines, colours))
        if listed.other:
            there = fitting(standings(opened.there, wanted), width, listed.rule)
            parts.append(Text(f"there: {one_line(listed.other.title)}", f"bold {colours['accent']}"))
            parts.append(drawn(draw(there, width, first=listed.rule, most=MOST_ANSWERS), colours))
        self.query_one("#bars-drawn", Static).update(Group(*parts))

    def draw_text(self) -> None:
        """Draw the text of the chain under the cursor; where it is read, the whole question in front of it."""
        place, colours = self.chain_rows.cursor, tints(self.app)
        problem, chains = self.opened.problem, self.opened.chains
        parts: list[RenderableType] = []
        if problem is not None and self.level == "text":
            parts.append(Text(one_line(problem.question), colours["dim"]))
        if place < len(chains):
            parts.append(chain_text(chains[place], colours, self.listed.search, self.latex))
        self.query_one("#text-drawn", Static).update(Group(*parts))

    def draw_state(self) -> None:
        """Say what is looked at, what is assumed, and what it is compared with."""
        busy = self.reading is not None, self.searching is not None
        self.query_one("#votes-state", Static).update(state(self.listed, self.opened, *busy, tints(self.app)))

    def data(self) -> Data | None:
        """The open problem's chains; where the list has the focus, its problems."""
        listed, opened = self.listed, self.opened
        return problem_data(listed) if self.level == "list" else chain_data(opened, listed.rule)

    # --- moving about -----------------------------------------------------------------------------------------------

    def go(self, level: str) -> None:
        """Show the list, the problem or the text, and give it the focus."""
        self._at(level)
        focus = {"list": "#problems", "problem": "#chains", "text": "#text"}[level]
        self.query_one(focus).focus()

    def _at(self, level: str) -> None:
        """Lay the panes out for a level; the text is drawn for it."""
        self.level = level
        for name in LEVELS:
            self.set_class(name == level, f"-at-{name}")
        self.draw_text()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """In the wide form the level follows the focus."""
        level = {"problems": "list", "chains": "problem", "text": "text"}.get(event.widget.id or "")
        if self.wide and level and level != self.level:
            self._at(level)

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Another problem, or another chain."""
        if event.rows is self.problem_rows and event.index < len(self.listed.rows):
            self._open(self.listed.rows[event.index])
        elif event.rows is self.chain_rows:
            self.draw_text()
            self.query_one("#text").scroll_home(animate=False)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Go deeper."""
        self.go("problem" if event.rows is self.problem_rows else "text")

    def action_back(self) -> None:
        """One level up; from the list out of a search."""
        if self.has_class("-searching") or (self.level == "list" and self.listed.search):
            self.end_search()
        elif self.level != "list":
            self.go("list" if self.level == "problem" else "problem")

    def action_step(self, by: int) -> None:
        """Another problem, wherever the focus is."""
        self.problem_rows.cursor += by

    def action_queue(self, by: int) -> None:
        """Another queue."""
        self.listed.next_queue(by)
        self.rearrange()

    def action_rule(self) -> None:
        """Another rule decides; one that the list has not counted yet is counted."""
        listed = self.listed
        listed.rule = RULES[(RULES.index(listed.rule) + 1) % len(RULES)]
        if listed.rule not in SHOWN:
            self._again()
        self.rearrange()
        self.draw_problem(self.chain_rows.cursor)

    def _again(self) -> None:
        """Read the votes anew, and those of the other side."""
        if self.reading is not None:
            self.reading.cancel()
        self.reading, self._seen, self._rest_until = None, (), 0.0
        if self.listed.other:
            self._read_other(self.listed.other)
        self.follow()

    # --- search -----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Ask for a text."""
        self.add_class("-searching")
        self.query_one("#votes-search", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search for it."""
        text, chosen, path = event.value.strip(), self.listed.chosen, self.listed.path
        if not text or chosen is None:
            self.end_search()
            return
        self.remove_class("-searching")
        self.listed.search, self.listed.hits = text, set()
        self.searching = Background(lambda: read_hits(path, chosen, text))
        self.go("list")
        self.draw_state()

    def end_search(self) -> None:
        """Show all again."""
        self.remove_class("-searching")
        self.query_one("#votes-search", Input).value = ""
        self.listed.search, self.listed.hits, self.searching = "", set(), None
        self.go("list")
        self.rearrange()

    # --- what if ----------------------------------------------------------------------------------------------------

    def _chain(self) -> Chain | None:
        """The chain under the cursor, where it is in sight."""
        place, chains = self.chain_rows.cursor, self.opened.chains
        return chains[place] if place < len(chains) and (self.wide or self.level != "list") else None

    def _assume(self, what_if: WhatIf) -> None:
        self.opened.assume(what_if)
        self.draw_problem(self.chain_rows.cursor)

    def action_leave_out(self) -> None:
        """Leave the chain out, or take it back in."""
        if (chain := self._chain()) is not None:
            what_if = self.opened.what_if
            self._assume(dataclasses.replace(what_if, excluded=what_if.excluded ^ {chain.index}))

    def action_only(self) -> None:
        """Only the chains that say the same, or all again."""
        chain, what_if = self._chain(), self.opened.what_if
        if chain is None:
            return
        if chain.answer_class is None:
            self.notify("this chain has no answer")
            return
        only = None if what_if.only == chain.answer_class else chain.answer_class
        self._assume(dataclasses.replace(what_if, only=only))

    def action_flip(self) -> None:
        """Leave out the smallest set of chains that makes another answer win by the rule that decides."""
        held = self.opened.standing(self.listed.rule)
        if held is None or self._chain() is None:
            return
        if isinstance(held.flip, str):
            self.notify(f"{held.rule}: {held.flip}")
        else:
            self._assume(self.opened.excluding(held.flip))

    def action_first(self, by: int) -> None:
        """As if fewer chains had been drawn, or more again."""
        many, what_if = len(self.opened.chains), self.opened.what_if
        if many and self._chain() is not None:
            first = min(max((what_if.first or many) + by, 1), many)
            self._assume(dataclasses.replace(what_if, first=None if first == many else first))

    def action_power(self, by: int) -> None:
        """Weights count less or more."""
        if self._chain() is not None:
            place = POWERS.index(self.opened.what_if.power) + by
            power = POWERS[min(max(place, 0), len(POWERS) - 1)]
            self._assume(dataclasses.replace(self.opened.what_if, power=power))

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
        self.draw_problem(self.chain_rows.cursor)

    # --- other chains -----------------------------------------------------------------------------------------------

    def action_sets(self) -> None:
        """Choose another set of this run."""
        sets = list(reversed(self.listed.sets))

        def chosen(place: int | None) -> None:
            if place is None or self.run_shown is None:
                return
            wanted = sets[place].key
            self._leave(self.run_shown)
            self.wanted = wanted
            self.go("list")
            self.follow()

        here = next((i for i, item in enumerate(sets) if item == self.listed.chosen), 0)
        self.app.push_screen(Chooser("Which chains?", [item.title for item in sets], here), chosen)

    def action_compare(self) -> None:
        """Begin a comparison, or end it."""
        listed, run = self.listed, self.reader.run
        if listed.other:
            self._compare(None)
            return
        if listed.chosen is None or run is None:
            return
        here = Side(run.name, run.chains_path, listed.chosen, listed.ranker)
        self.looking = Background(lambda: iter([sides(self._homes(), here)]))

    def _choose_side(self, found: list[Side]) -> None:
        if not found:
            self.notify("there are no other chains: no other run, set or ranker")
            return

        def chosen(place: int | None) -> None:
            if place is not None:
                self._compare(found[place])

        self.app.push_screen(Chooser("Compare with which chains?", [side.title for side in found]), chosen)

    def _compare(self, side: Side | None) -> None:
        if self.comparing is not None:
            self.comparing.cancel()
            self.comparing = None
        self.listed.compare(side)
        if side is not None:
            self._read_other(side)
        self.go("list")
        self.rearrange(again=True)

    def _read_other(self, side: Side) -> None:
        rules = self.listed.rules
        self.listed.other_outcomes = {}
        self.comparing = Background(lambda: read_side(side, rules))

    def _homes(self) -> list[Path]:
        """Folders of runs to compare with: this one, those marked, then the others, the latest first."""
        first = [run.path for run in self.reader.overlaid()]
        others = [path for path in self.reader.home.iterdir() if (path / "chains.sqlite").is_file()]
        others.sort(key=lambda path: (path / "chains.sqlite").stat().st_mtime_ns, reverse=True)
        return list(dict.fromkeys([*first, *others]))[:MOST_RUNS]

    def action_latex(self) -> None:
        """Formulas as they look, or marks."""
        self.latex = not self.latex
        self.draw_text()
