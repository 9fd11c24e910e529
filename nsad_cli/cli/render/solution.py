"""The output of `nsad solve`: a solution as text or as a JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.cli.console import out
from nsad_cli.grading.marked_steps import checked_steps, marked_parts, steps_line
from nsad_cli.types import Chain, Finish
from nsad_cli.utils.logs import shows_notes
from nsad_cli.utils.terminal_text import escape_controls, render_latex
from nsad_cli.voting.chain_steps import Step, chain_steps

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from nsad_cli.inference.solver import Solution, VoteSettings


def print_solution(
    solution: Solution, settings: VoteSettings, *, verbose: bool = False, console: Console | None = None
) -> None:
    """Print chains with weights, votes as bars, the answer and its share; with --quiet only the answer."""
    from nsad_cli.cli.render.votes import ballot_table, chains_table

    console = console or out()
    if not shows_notes():
        answer = solution.ballot.answer
        console.print("" if answer is None else render_latex(answer), markup=False)
        return
    if verbose:
        for chain in solution.chains:
            _print_steps(console, chain)
    console.print(chains_table(solution.chains, solution.ballot))
    if solution.ballot.votes:
        console.print(ballot_table(solution.ballot, solution.chains, solution.problem.answer))
    for line in conclusion(solution, settings):
        console.print(line)


def conclusion(solution: Solution, settings: VoteSettings) -> list[str]:
    """Describe the answer, the margin of the vote and the effect of early stopping, as lines in rich's markup."""
    from nsad_cli.cli.render.votes import shown

    ballot, chains = solution.ballot, solution.chains
    if ballot.answer is None:
        lines = [f"[bold yellow]no answer[/]: none of {len(chains)} chains has one (--verbose prints them)"]
    else:
        lines = [f"[bold]answer: [green]{shown(ballot.answer)}[/][/]", *(f"  {line}" for line in _margin(solution))]
        unanswered = sum(chain.answer is None for chain in chains)
        lines += [f"  {unanswered} of {len(chains)} chains have no answer"] if unanswered else []
    if truncated := sum(chain.finish is Finish.LENGTH for chain in chains):
        lines.append(
            f"  {truncated} of {len(chains)} chains were truncated at the token limit: raise sampling.max_new_tokens in"
            " the run's recipe.yaml"
        )
    if solution.sure is not None and settings.stop_at is not None:
        below = "" if solution.sure >= settings.stop_at else f", below {settings.stop_at:.0%}"
        lines.append(
            f"  {len(chains)} of {settings.samples} chains sampled: {solution.sure:.1%} likely to stay ahead{below}"
        )
    return lines


def _margin(solution: Solution) -> list[str]:
    """Describe how close the vote was."""
    from nsad_cli.cli.render.votes import shown
    from nsad_cli.voting.rules import chains_to_overturn, ranking_weights

    ballot, chains = solution.ballot, solution.chains
    if len(ballot.votes) == 1:
        return ["no chain has another answer"]
    first, second = ballot.votes[:2]
    other, total = shown(second.answer), sum(max(vote.weight, 0.0) for vote in ballot.votes) or 1.0
    if ballot.rule == "best":
        best, rival = ranking_weights(chains, ballot)[:2]
        return [f"its best chain scores {best:.3f}, the best with {other} {rival:.3f}"]
    what = "chains with an answer" if ballot.rule == "sc" else "weight"
    share = f"{ballot.share:.0%} of the {what}; {other} has {max(second.weight, 0.0) / total:.0%}"
    if ballot.rule != "sc" and first.weight == second.weight == 0:
        return [share, "all weights are zero: it has more chains, the chain with the highest weight, or the first"]
    if first.weight == second.weight:
        return [
            share,
            "a tie: it came first"
            if ballot.rule == "sc"
            else "a tie: it has the chain with the highest weight, or the first",
        ]
    if first.count == 1:
        return [share, "it depends on one chain"]
    count = chains_to_overturn(chains, ballot)
    return [share, f"if {count} of its {first.count} chains had answered {other}, {other} would have won"]


def _print_steps(console: Console, chain: Chain) -> None:
    """Print a chain in full, one step per line, each with the mean probability of its tokens, and its checked steps."""
    from rich.table import Table

    console.rule(f"chain {chain.index}", align="left", style="dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", style="dim", width=3)
    grid.add_column(style="dim", width=4)
    grid.add_column(overflow="fold")
    for number, (text, likely) in enumerate(steps(chain), 1):
        grid.add_row(str(number), "" if likely is None else f"{likely:.2f}", text)
    console.print(grid)
    if line := steps_line(chain.text):
        console.print(line, style="dim", markup=False, highlight=False)
    console.print()


def steps(chain: Chain) -> list[tuple[Text, float | None]]:
    """Split a chain into steps (lines, or else sentences), each with the geometric mean of its token probabilities.

    The first wrong equality is marked.
    """
    return [(_step_text(chain, step), step.probability) for step in chain_steps(chain)]


def _step_text(chain: Chain, step: Step) -> Text:
    from rich.text import Text

    first = checked_steps(chain.text).first_wrong
    place = None if first is None else (first[0] - step.start, first[1] - step.start)
    parts = marked_parts(
        chain.text[step.start : step.end], place, lambda text: escape_controls(render_latex(text.strip()))
    )
    return Text.assemble(*((text, "bold red" if wrong else "") for text, wrong in parts))
