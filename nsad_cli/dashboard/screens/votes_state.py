"""State of the votes screen, independent of widgets: the list, the open problem, and its counterfactual."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.dashboard.live.votes_reader import ComparisonSide, OpenedStore, Pairs
from nsad_cli.errors import UsageError
from nsad_cli.voting.bar_chart import one_line
from nsad_cli.voting.chain_sets import ChainSet, chains_of_problem, open_store
from nsad_cli.voting.counterfactuals import WhatIf, remaining_chains
from nsad_cli.voting.problem_filters import (
    DEFAULT_RULES,
    PROBLEM_FILTERS,
    TRANSITIONS,
    ProblemResult,
    Winner,
    matching_problems,
    transition,
)
from nsad_cli.voting.rule_results import RuleResult, rule_results
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from nsad_cli.types import Chain, Problem

POWERS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Exponents of the weights, from 0 (all equal) to 8 (dominated by the largest)."""
Found = Mapping[str, RuleResult | UsageError]


class ProblemList:
    """The problems of a chain set that match the filter and the search, in the filter's order."""

    def __init__(self) -> None:
        self.run, self.path = "", Path()
        self.sets: list[ChainSet] = []
        self.chosen: ChainSet | None = None
        self.ranker: str | None = None
        self.problems: list[Problem] = []
        self.numbers: dict[str, int] = {}
        """Each problem's number in the set, from 1."""
        self.results: dict[str, ProblemResult] = {}
        self.rule = "sc"
        self.filter = "all"
        self.search, self.hits = "", set[str]()
        self.other: ComparisonSide | None = None
        self.pairs: Pairs = {}
        """In a comparison, each problem's votes on both sides."""
        self.rows: list[Problem] = []
        self.counts: dict[str, int] = {}
        """In a comparison, the number of problems by transition."""

    def open(self, found: OpenedStore) -> None:
        """Set the problems read from a store; filter, search and comparison are kept."""
        first = self.chosen is None or found.chosen is None or found.chosen.key != self.chosen.key
        self.sets, self.chosen, self.ranker, self.problems = found.sets, found.chosen, found.ranker, found.problems
        self.numbers = {problem.id: place for place, problem in enumerate(self.problems, 1)}
        if first:
            self.results = {}
            self.rule = "asc" if found.ranker else "sc"
        self.arrange()

    @property
    def rules(self) -> list[str]:
        """Rules whose winners are computed for the list, including the deciding rule."""
        return list(dict.fromkeys((*DEFAULT_RULES, self.rule)))

    @property
    def filters(self) -> list[str]:
        """Names of the filters; in a comparison, the transitions."""
        return list(TRANSITIONS) if self.other else [item.name for item in PROBLEM_FILTERS]

    @property
    def filter_description(self) -> str:
        """Description of the filter."""
        return (
            TRANSITIONS[self.filter]
            if self.other
            else next(item.what for item in PROBLEM_FILTERS if item.name == self.filter)
        )

    def next_filter(self, by: int) -> None:
        """Select another filter, by its offset in the list."""
        names = self.filters
        self.filter = names[(names.index(self.filter) + by) % len(names)]
        self.arrange()

    def compare(self, side: ComparisonSide | None) -> None:
        """Begin a comparison; None ends it."""
        self.other, self.pairs, self.filter = side, {}, "all"
        self.arrange()

    def arrange(self) -> None:
        """Update the rows from the filter, the search and the comparison."""
        rows = [item for item in self.problems if item.id in self.hits] if self.search else self.problems
        if self.other:
            rows = [item for item in rows if item.id in self.pairs]
            rows = [item for item in rows if self.filter in ("all", self.transition(item.id))]
        elif self.filter != "all":
            by_id = {item.id: item for item in rows}
            known = [self.results[item.id] for item in rows if item.id in self.results]
            selected = next(item for item in PROBLEM_FILTERS if item.name == self.filter)
            rows = [by_id[item.problem_id] for item in matching_problems(selected, known, self.rule)]
        self.rows = rows
        self.counts = self._tally() if self.other else {}

    def winner(self, problem_id: str, rule: str | None = None) -> Winner | None:
        """Return the winner by a rule, by default the deciding one; None if it is not known (yet)."""
        found = self.results.get(problem_id)
        return None if found is None else found.winners.get(rule) if rule else found.winner_by(self.rule)

    @property
    def this_side(self) -> ComparisonSide | None:
        """The chains shown, as a side of a comparison."""
        return ComparisonSide(self.run, self.path, self.chosen, self.ranker) if self.chosen else None

    def transition(self, problem_id: str) -> str:
        """Return a problem's transition from this side to the other."""
        here, there = self.pairs[problem_id]
        return transition(here.winner_by(self.rule), there.winner_by(self.rule))

    def replaced_rules(self) -> tuple[int, int]:
        """Return the number of problems for which `sc` replaces the deciding rule, on this side and on the other."""
        here, there = zip(*self.pairs.values(), strict=True) if self.pairs else ((), ())
        return sum(self.rule not in item.winners for item in here), sum(self.rule not in item.winners for item in there)

    def compared_text(self) -> str:
        """Return a text about how many chains of a problem are compared; empty while it is unknown."""
        if not (self.pairs and self.chosen and self.other):
            return ""
        if self.chosen.greedy != self.other.chosen.greedy:
            return "greedy there" if self.other.chosen.greedy else "greedy here"
        counts = {here.chains for here, _ in self.pairs.values()}
        least, most = min(counts), max(counts)
        many = f"{most}" if least == most else f"{least} to {most}"
        return f"the first {many} chain{'' if most == 1 else 's'} on both sides"

    def _tally(self) -> dict[str, int]:
        """Count the problems by transition."""
        counts = dict.fromkeys(TRANSITIONS, 0)
        for problem in self.problems:
            if problem.id in self.pairs:
                counts[self.transition(problem.id)] += 1
        return counts


class OpenProblem:
    """The open problem: its chains, and the votes under the counterfactual."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self.chains: list[Chain] = []
        self.other_chains: list[Chain] = []
        """In a comparison, the chains of the other side that are compared."""
        self.compared: int | None = None
        """In a comparison, how many of the problem's chains are compared; None: all."""
        self.what_if = WhatIf()
        self.ranker: str | None = None
        """The ranker whose weights are used instead of those of the list's ranker; None: the list's ranker."""
        self.found: dict[str, RuleResult | UsageError] = {}
        self.original_winners: dict[str, tuple[int | None, str]] = {}

    def read(self, problem_list: ProblemList, problem: Problem | None) -> None:
        """Read a problem's chains. Counterfactual settings that refer to another problem's chains are reset.

        The store is read without waiting for locks, because this blocks the screen.

        Raises:
            NsadError: The store cannot be read; no problem is open then.
        """
        if problem is None or self.problem is None or problem.id != self.problem.id:
            self.what_if = dataclasses.replace(self.what_if, excluded=frozenset(), only=None)
        own: list[Chain] = []
        self.problem, self.chains, self.other_chains, self.found, self.original_winners = None, [], [], {}, {}
        self.compared = None
        if problem is not None and problem_list.chosen is not None:
            with open_store(problem_list.path, patience=0) as store:
                own = chains_of_problem(store, problem_list.chosen, problem.id, problem_list.ranker)
                self.chains = (
                    chains_of_problem(store, problem_list.chosen, problem.id, self.ranker) if self.ranker else own
                )
            if problem_list.other and problem.id in problem_list.pairs:
                here, there = problem_list.pairs[problem.id]
                self.compared = here.chains
                with open_store(problem_list.other.path, patience=0) as store:
                    others = chains_of_problem(store, problem_list.other.chosen, problem.id, problem_list.other.ranker)
                self.other_chains = others[: there.chains]
        self.problem = problem
        base = rule_results(own[: self.compared])
        self.original_winners = {
            rule: (item.winner, one_line(item.ballot.answer or ""))
            for rule, item in base.items()
            if isinstance(item, RuleResult)
        }
        self.recount()

    def update_what_if(self, **changed: Any) -> None:
        """Change the counterfactual (see WhatIf), and compute the votes again."""
        self.what_if = dataclasses.replace(self.what_if, **changed)
        self.recount()

    def recount(self) -> None:
        """Compute each rule's vote among the included chains."""
        self.found = rule_results(self._included_chains(), RULES, self.what_if.power)

    def _included_chains(self) -> list[Chain]:
        return remaining_chains(self.chains[: self.compared], self.what_if)

    @property
    def included(self) -> set[int]:
        """Indices of the included chains."""
        return {chain.index for chain in self._included_chains()}

    def change_count(self, by: int) -> None:
        """Count `by` fewer chains, as if fewer had been sampled; more if negative."""
        many = len(self.chains[: self.compared])
        first = min(max((self.what_if.first or many) - by, 1), many)
        self.update_what_if(first=None if first == many else first)

    def change_power(self, by: int) -> None:
        """Change the exponent of the weights by `by` positions in POWERS."""
        place = POWERS.index(self.what_if.power) + by
        self.update_what_if(power=POWERS[min(max(place, 0), len(POWERS) - 1)])

    def rule_result(self, rule: str) -> RuleResult | None:
        """Return a rule's vote, or that of `sc` if the rule is not available."""
        found = self.found.get(rule)
        found = found if isinstance(found, RuleResult) else self.found.get("sc")
        return found if isinstance(found, RuleResult) else None

    def changed(self) -> list[str]:
        """Return the rules whose winner the counterfactual changes."""
        return [
            rule
            for rule, (winner, _) in self.original_winners.items()
            if isinstance(item := self.found.get(rule), RuleResult) and item.winner != winner
        ]

    def assumptions(self) -> list[str]:
        """Return descriptions of the counterfactual's settings."""
        texts, what_if = [], self.what_if
        if what_if.excluded:
            gone = sorted(what_if.excluded)
            some = " ".join(map(str, gone[:8])) + (" …" if len(gone) > 8 else "")
            texts.append(f"without chain{'s' if len(gone) > 1 else ''} {some}")
        if what_if.only is not None:
            answer = next((c.answer for c in self.chains if c.answer_class == what_if.only), "") or ""
            texts.append(f"only {one_line(answer)}")
        if what_if.first is not None:
            texts.append(f"the first {what_if.first} of {len(self.chains[: self.compared])}")
        if what_if.power != 1:
            texts.append("equal weights" if what_if.power == 0 else f"weights to the power {what_if.power:g}")
        return texts + ([f"weights of {self.ranker}"] if self.ranker else [])


class VotesState:
    """The list of problems and the open problem of the run that the votes screen shows."""

    def __init__(self) -> None:
        self.problem_list, self.open_problem = ProblemList(), OpenProblem()

    def reset(self) -> None:
        """Clear the state of the run."""
        self.problem_list, self.open_problem = ProblemList(), OpenProblem()
