"""What the votes screen stands on, without any widget: the list, the problem that is open, what is assumed of it."""

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
"""Exponents of the weights, from counting to the heaviest alone."""
Found = Mapping[str, RuleResult | UsageError]


class ProblemList:
    """The problems of a set: all, or those of a queue, that a search found, in the order that the queue has."""

    def __init__(self) -> None:
        self.run, self.path = "", Path()
        self.sets: list[ChainSet] = []
        self.chosen: ChainSet | None = None
        self.ranker: str | None = None
        self.problems: list[Problem] = []
        self.places: dict[str, int] = {}
        """Each problem's number, from 1."""
        self.results: dict[str, ProblemResult] = {}
        self.rule = "sc"
        self.queue = "all"
        self.search, self.hits = "", set[str]()
        self.other: ComparisonSide | None = None
        self.pairs: Pairs = {}
        """Of a comparison: each problem's votes on both sides."""
        self.rows: list[Problem] = []
        self.counts: dict[str, int] = {}
        """Of a comparison: how many problems became what."""

    def open(self, found: OpenedStore) -> None:
        """Take what was read; a queue, a search and a comparison stay."""
        first = self.chosen is None or found.chosen is None or found.chosen.key != self.chosen.key
        self.sets, self.chosen, self.ranker, self.problems = found.sets, found.chosen, found.ranker, found.problems
        self.places = {problem.id: place for place, problem in enumerate(self.problems, 1)}
        if first:
            self.results = {}
            self.rule = "asc" if found.ranker else "sc"
        self.arrange()

    @property
    def rules(self) -> list[str]:
        """Those whose winners stand in the list: the one that decides among them."""
        return list(dict.fromkeys((*DEFAULT_RULES, self.rule)))

    @property
    def queues(self) -> list[str]:
        """Names of the queues; of a comparison they are what became of a problem."""
        return list(TRANSITIONS) if self.other else [queue.name for queue in PROBLEM_FILTERS]

    @property
    def queue_means(self) -> str:
        """The queue in words."""
        return TRANSITIONS[self.queue] if self.other else next(q.what for q in PROBLEM_FILTERS if q.name == self.queue)

    def next_queue(self, by: int) -> None:
        """Go to another queue."""
        names = self.queues
        self.queue = names[(names.index(self.queue) + by) % len(names)]
        self.arrange()

    def compare(self, side: ComparisonSide | None) -> None:
        """Begin or end a comparison."""
        self.other, self.pairs, self.queue = side, {}, "all"
        self.arrange()

    def arrange(self) -> None:
        """Find the rows anew."""
        rows = [item for item in self.problems if item.id in self.hits] if self.search else self.problems
        if self.other:
            rows = [item for item in rows if item.id in self.pairs]
            rows = [item for item in rows if self.queue in ("all", self.became(item.id))]
        elif self.queue != "all":
            by_id = {item.id: item for item in rows}
            known = [self.results[item.id] for item in rows if item.id in self.results]
            queue = next(queue for queue in PROBLEM_FILTERS if queue.name == self.queue)
            rows = [by_id[item.problem_id] for item in matching_problems(queue, known, self.rule)]
        self.rows = rows
        self.counts = self._tally() if self.other else {}

    def won(self, problem_id: str, rule: str | None = None) -> Winner | None:
        """A rule's winner, without a rule that of the one that decides; None where it is not known (yet)."""
        found = self.results.get(problem_id)
        return None if found is None else found.winners.get(rule) if rule else found.winner_by(self.rule)

    @property
    def here(self) -> ComparisonSide | None:
        """What is looked at, as a side of a comparison."""
        return ComparisonSide(self.run, self.path, self.chosen, self.ranker) if self.chosen else None

    def became(self, problem_id: str) -> str:
        """What became of a problem between the sides."""
        here, there = self.pairs[problem_id]
        return transition(here.winner_by(self.rule), there.winner_by(self.rule))

    def replaced_rules(self) -> tuple[int, int]:
        """Of how many problems `sc` stands in for the rule that decides, here and on the other side."""
        here, there = zip(*self.pairs.values(), strict=True) if self.pairs else ((), ())
        return sum(self.rule not in item.winners for item in here), sum(self.rule not in item.winners for item in there)

    def against(self) -> str:
        """How many chains of a problem are set against each other, in words; empty while nothing is known."""
        if not (self.pairs and self.chosen and self.other):
            return ""
        if self.chosen.greedy != self.other.chosen.greedy:
            return "greedy there" if self.other.chosen.greedy else "greedy here"
        counts = {here.chains for here, _ in self.pairs.values()}
        least, most = min(counts), max(counts)
        many = f"{most}" if least == most else f"{least} to {most}"
        return f"the first {many} chain{'' if most == 1 else 's'} of both"

    def _tally(self) -> dict[str, int]:
        """How many problems became what."""
        counts = dict.fromkeys(TRANSITIONS, 0)
        for problem in self.problems:
            if problem.id in self.pairs:
                counts[self.became(problem.id)] += 1
        return counts


class OpenProblem:
    """One problem's chains, and what is assumed of them."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self.chains: list[Chain] = []
        self.there: list[Chain] = []
        """Its chains on the other side of a comparison, as far as they are set against these."""
        self.compared: int | None = None
        """How many of its chains are set against those."""
        self.what_if = WhatIf()
        self.ranker: str | None = None
        """Another ranker whose weights count; None: the list's own."""
        self.found: dict[str, RuleResult | UsageError] = {}
        self.before: dict[str, tuple[int | None, str]] = {}

    def read(self, problem_list: ProblemList, problem: Problem | None) -> None:
        """Read a problem's chains. What was assumed of another problem's chains goes, what holds of any stays.

        Raises NsadError where the store cannot be read (at once: a screen waits for it): then no problem is open.
        """
        if problem is None or self.problem is None or problem.id != self.problem.id:
            self.what_if = dataclasses.replace(self.what_if, excluded=frozenset(), only=None)
        own: list[Chain] = []
        self.problem, self.chains, self.there, self.found, self.before = None, [], [], {}, {}
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
                self.there = others[: there.chains]
        self.problem = problem
        base = rule_results(own[: self.compared])
        self.before = {
            rule: (item.winner, one_line(item.ballot.answer or ""))
            for rule, item in base.items()
            if isinstance(item, RuleResult)
        }
        self.count()

    def assume(self, **changed: Any) -> None:
        """Change what is assumed (see WhatIf), and hold the votes anew."""
        self.what_if = dataclasses.replace(self.what_if, **changed)
        self.count()

    def count(self) -> None:
        """Hold every rule's vote among the chains that are left."""
        self.found = rule_results(self._kept(), RULES, self.what_if.power)

    def _kept(self) -> list[Chain]:
        return remaining_chains(self.chains[: self.compared], self.what_if)

    @property
    def left(self) -> set[int]:
        """Indices of the chains that are left."""
        return {chain.index for chain in self._kept()}

    def change_count(self, by: int) -> None:
        """As if so many fewer chains had been drawn (below 0: more again)."""
        many = len(self.chains[: self.compared])
        first = min(max((self.what_if.first or many) - by, 1), many)
        self.assume(first=None if first == many else first)

    def change_power(self, by: int) -> None:
        """Weights count so many of POWERS more (below 0: less)."""
        place = POWERS.index(self.what_if.power) + by
        self.assume(power=POWERS[min(max(place, 0), len(POWERS) - 1)])

    def rule_result(self, rule: str) -> RuleResult | None:
        """A rule's vote, or that of `sc` where it cannot be held."""
        found = self.found.get(rule)
        found = found if isinstance(found, RuleResult) else self.found.get("sc")
        return found if isinstance(found, RuleResult) else None

    def changed(self) -> list[str]:
        """The rules whose winner is another one now."""
        return [
            rule
            for rule, (winner, _) in self.before.items()
            if isinstance(item := self.found.get(rule), RuleResult) and item.winner != winner
        ]

    def assumed(self) -> list[str]:
        """What is assumed, in words."""
        said, what_if = [], self.what_if
        if what_if.excluded:
            gone = sorted(what_if.excluded)
            some = " ".join(map(str, gone[:8])) + (" …" if len(gone) > 8 else "")
            said.append(f"without chain{'s' if len(gone) > 1 else ''} {some}")
        if what_if.only is not None:
            answer = next((c.answer for c in self.chains if c.answer_class == what_if.only), "") or ""
            said.append(f"only {one_line(answer)}")
        if what_if.first is not None:
            said.append(f"the first {what_if.first} of {len(self.chains[: self.compared])}")
        if what_if.power != 1:
            said.append("weights count as 1" if what_if.power == 0 else f"weights to the power {what_if.power:g}")
        return said + ([f"weights of {self.ranker}"] if self.ranker else [])


class VotesState:
    """The list of problems and the open problem of the run that the votes screen shows."""

    def __init__(self) -> None:
        self.problem_list, self.open_problem = ProblemList(), OpenProblem()

    def reset(self) -> None:
        """Forget everything about the run."""
        self.problem_list, self.open_problem = ProblemList(), OpenProblem()
