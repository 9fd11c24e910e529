"""Chains of one problem as they arrive, on stderr: votes that grow in a terminal, a line a chain elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import StderrHandler, err
from nsad_cli.types import Chain, Problem
from nsad_cli.utils.logs import note, shows_notes
from nsad_cli.utils.terminal_text import escape_controls, render_latex

if TYPE_CHECKING:
    from nsad_cli.inference.solver import VoteSettings

MAX_VOTES = 6
AROUND = 10
"""Lines of headings, captions and the status."""


class LiveVotes:
    """Give it to Solver.solve as `watch`, and `tokens` as `on_tokens`; what it shows is gone when the context ends."""

    def __init__(self, ask: VoteSettings) -> None:
        self.ask = ask
        self._chains: Sequence[Chain] = ()
        self._seen: set[int] = set()
        self._tokens, self._started = 0, time.monotonic()
        self._live: Any = None
        if sys.stderr.isatty() and shows_notes():
            from rich.live import Live

            self._console = err()
            self._live = Live(
                console=self._console,
                transient=True,
                refresh_per_second=5,
                get_renderable=self._screen,
                redirect_stdout=False,
                vertical_overflow="crop",
            )

    def __enter__(self) -> LiveVotes:
        if self._live is not None:
            self._live.start()
            StderrHandler.bars = self._console
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            StderrHandler.bars = None
            self._live.stop()

    def tokens(self, new: int) -> None:
        """New tokens were written."""
        self._tokens += new

    def __call__(self, problem: Problem, chains: Sequence[Chain]) -> None:
        """A chain has arrived."""
        fresh = [chain for chain in chains if chain.index not in self._seen]
        self._chains = chains
        for chain in fresh:
            self._seen.add(chain.index)
            if self._live is None:
                score = "" if chain.weight is None else f" (scores {chain.weight:.3f})"
                answer = "no answer" if chain.answer is None else escape_controls(render_latex(chain.answer))
                note(f"  {len(self._seen)} of {self.ask.samples}: chain {chain.index} says {answer}{score}")

    def _screen(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner

        from nsad_cli.cli.render.votes import ballot_table, chains_table
        from nsad_cli.errors import UsageError
        from nsad_cli.voting.rules import applicable_rule, vote

        chains, room = self._chains, max(self._console.height - AROUND, 2)
        parts: list[Any] = []
        with contextlib.suppress(UsageError):  # a rule whose weights the engine does not give: told at the end
            ballot = vote(chains, applicable_rule(chains, self.ask.rule))
            most = min(MAX_VOTES, max(room // 2, 1))
            if chains:
                parts.append(chains_table(chains, ballot, max(room - min(len(ballot.votes), most), 1)))
            if ballot.votes:
                parts.append(ballot_table(ballot, chains, most=most))
        seconds = time.monotonic() - self._started
        status = f"{len(chains)} of {self.ask.samples} chains · {self._tokens} tokens · {seconds:.0f} s"
        return Group(*parts, Spinner("dots", text=status, style="cyan"))
