"""Live display of one problem's chains, on stderr: tables in a terminal, otherwise one line per chain."""

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
MAX_CHROME = 10
"""The number of lines taken by headings, captions and the status."""


class LiveVotes:
    """A context that displays chains and votes, and clears the display at its end.

    It is the `on_chain` callback of Solver.solve; its method `tokens` is the `on_tokens` callback.
    """

    def __init__(self, settings: VoteSettings) -> None:
        self.settings = settings
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
        """Count newly generated tokens."""
        self._tokens += new

    def __call__(self, _problem: Problem, chains: Sequence[Chain]) -> None:
        """Show a problem's chains after one has arrived."""
        fresh = [chain for chain in chains if chain.index not in self._seen]
        self._chains = chains
        for chain in fresh:
            self._seen.add(chain.index)
            if self._live is None:
                score = "" if chain.shown_score is None else f" (score {chain.shown_score:.3f})"
                answer = "no answer" if chain.answer is None else escape_controls(render_latex(chain.answer))
                note(f"  {len(self._seen)} of {self.settings.samples}: chain {chain.index}: {answer}{score}")

    def _screen(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner

        from nsad_cli.cli.render.votes import ballot_table, chains_table
        from nsad_cli.errors import UsageError
        from nsad_cli.voting.rules import applicable_rule, vote

        chains, room = self._chains, max(self._console.height - MAX_CHROME, 2)
        parts: list[Any] = []
        with contextlib.suppress(UsageError):  # the engine gives no weights for this rule: reported at the end
            ballot = vote(chains, applicable_rule(chains, self.settings.rule))
            most = min(MAX_VOTES, max(room // 2, 1))
            if chains:
                parts.append(chains_table(chains, ballot, max(room - min(len(ballot.votes), most), 1)))
            if ballot.votes:
                parts.append(ballot_table(ballot, chains, most=most))
        seconds = time.monotonic() - self._started
        status = f"{len(chains)} of {self.settings.samples} chains · {self._tokens} tokens · {seconds:.0f} s"
        return Group(*parts, Spinner("dots", text=status, style="cyan"))
