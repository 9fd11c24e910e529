"""Actions of the votes screen that change the counterfactual of the open problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.voting.counterfactuals import WhatIf

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.dashboard.screens.base import View
    from nsad_cli.dashboard.screens.votes_presenter import VotesPresenter
    from nsad_cli.dashboard.screens.votes_state import OpenProblem
    from nsad_cli.types import Chain


class WhatIfKeys:
    """Changes the counterfactual of the open problem, and redraws its votes.

    All actions except `next_ranker` and `reset` need a visible chain.
    """

    def __init__(self, screen: View, presenter: VotesPresenter) -> None:
        self.screen, self.presenter = screen, presenter
        self.changes: dict[str, Callable[..., None]] = {
            "toggle_chain": self.toggle_chain,
            "only_this_answer": self.only_this_answer,
            "flip": self.flip,
            "change_count": self.change_count,
            "change_power": self.change_power,
            "next_ranker": self.next_ranker,
            "reset": self.reset,
        }

    @property
    def _problem(self) -> OpenProblem:
        return self.presenter.state.open_problem

    @property
    def _chain(self) -> Chain | None:
        return self.presenter.panes.chain

    def toggle_chain(self) -> None:
        """Exclude the chain under the cursor, or include it again."""
        if (chain := self._chain) is not None:
            self._problem.update_what_if(excluded=self._problem.what_if.excluded ^ {chain.index})
            self.presenter.redraw_problem()

    def only_this_answer(self) -> None:
        """Count only the chains with the answer of the chain under the cursor, or all again."""
        chain = self._chain
        if chain is None:
            return
        if chain.answer_class is None:
            self.screen.notify("this chain has no answer")
            return
        self._problem.update_what_if(
            only=None if self._problem.what_if.only == chain.answer_class else chain.answer_class
        )
        self.presenter.redraw_problem()

    def flip(self) -> None:
        """Exclude the smallest set of chains that changes the winner by the deciding rule."""
        result = self._problem.rule_result(self.presenter.state.problem_list.rule)
        if result is None or self._chain is None:
            return
        if isinstance(result.flip, str):
            self.screen.notify(f"{result.rule}: {result.flip}")
        else:
            self._problem.update_what_if(excluded=self._problem.what_if.excluded | set(result.flip))
            self.presenter.redraw_problem()

    def change_count(self, by: int) -> None:
        """Count more or fewer chains, as if that many had been sampled."""
        if self._chain is not None:
            self._problem.change_count(-by)
            self.presenter.redraw_problem()

    def change_power(self, by: int) -> None:
        """Select the next larger or smaller exponent of the weights."""
        if self._chain is not None:
            self._problem.change_power(by)
            self.presenter.redraw_problem()

    def next_ranker(self) -> None:
        """Use the weights of the next ranker that has scored these chains."""
        problem_list, problem = self.presenter.state.problem_list, self._problem
        names = list(reversed(problem_list.chosen.rankers)) if problem_list.chosen else []
        if len(names) < 2:
            self.screen.notify("no other ranker has scored these chains")
            return
        name = names[(names.index(problem.ranker or names[0]) + 1) % len(names)]
        problem.ranker = None if name == problem_list.ranker else name
        self.presenter.open(problem.problem, reread=True)

    def reset(self) -> None:
        """Count all chains again, with the ranker's own weights."""
        self._problem.ranker, self._problem.what_if = None, WhatIf()
        self.presenter.open(self._problem.problem, reread=True)
        self.presenter.redraw_problem()
