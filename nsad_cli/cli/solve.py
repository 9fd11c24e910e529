"""`nsad solve`: chains, weights, votes, an answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.options import AsJson, Device, RunName
from nsad_cli.cli.output import out, print_json, printable, say

if TYPE_CHECKING:
    from nsad_cli.runs import Run
    from nsad_cli.solve import Solution
    from nsad_cli.types import Problem


def solve(
    question: Annotated[str, typer.Argument(metavar="PROBLEM", help="The problem's text; - reads standard input.")],
    rule: Annotated[str | None, typer.Option("--rule", help="sc, wsc, asc, asc-add or best.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Chains to draw.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every chain in full.")] = False,
    run_name: RunName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Answer a problem with the student: several chains, weighed by the ranker, vote."""
    from nsad_cli.errors import UsageError
    from nsad_cli.runs import Run
    from nsad_cli.types import Problem, problem_id
    from nsad_cli.voting import RULES

    text = (sys.stdin.read() if question == "-" else question).strip()
    if not text:
        raise UsageError("the problem is empty", "there is nothing to solve", 'write nsad solve "…", or pipe it to -')
    run = Run.open(run_name, finished=True)
    if rule is not None and rule not in RULES:
        raise UsageError(f"unknown rule `{rule}`", "votes are counted by another", f"rules: {', '.join(RULES)}")
    solution = solve_with(run, Problem(problem_id(text), text, "", "asked"), rule, samples, device)
    if as_json:
        print_json(solution_json(solution))
    else:
        print_solution(solution, verbose=verbose)


def solve_with(
    run: Run, problem: Problem, rule: str | None = None, samples: int | None = None, device: str | None = None
) -> Solution:
    """Solve a problem with a run's best model, showing chains as they arrive; all chains are kept in the run."""
    from nsad_cli.recipes import load_recipe

    say(f"run: {run.name}; loading the student …")
    from nsad_cli.answers.checker import Checker
    from nsad_cli.chains import ChainStore
    from nsad_cli.evaluation.runner import sampling_key
    from nsad_cli.generation.sampler import Sampling
    from nsad_cli.session import Session
    from nsad_cli.solve import solve as run_solve

    recipe = load_recipe(run.path / "recipe.yaml", {"student.device": device})
    session = Session(run, recipe, say)
    model = session.best_model()
    ranker = session.ranker()
    n = samples or recipe.solve.samples
    sampling = Sampling(recipe.sampling.temperature, recipe.sampling.top_p, recipe.sampling.max_new_tokens)
    missing = "" if model == "nce" else " (no NCE student in this run)"
    say(f"model: {model}{missing}; {n} chains, rule {rule or recipe.solve.rule}")
    done = 0

    def arrived(chain: Any) -> None:
        nonlocal done
        done += 1
        say(f"  chain {done}/{n}: {printable(chain.answer or 'no answer')}")

    with Checker() as checker:
        solution = run_solve(
            problem,
            session.sampler(model),
            sampling,
            n,
            rule or recipe.solve.rule,
            ranker,
            checker,
            seed=str(recipe.seed),
            on_chain=arrived,
        )
    key = {"model": model, "model_key": session.model_key(model), "sampling": sampling_key(sampling, recipe.seed)}
    with ChainStore(run.chains_path) as store:
        store.put(problem, solution.chains, **key)
        if ranker is not None:
            weights = {chain.index: chain.weight for chain in solution.chains}
            store.put_weights(problem.id, weights, ranker=ranker.name, **key)
    for note in solution.notes:
        say(note)
    return solution


def print_solution(solution: Solution, *, gold: str = "", verbose: bool = False) -> None:
    """Votes as bars, chains with weights, and the answer."""
    from nsad_cli.cli.tables import ballot_table, chains_table

    console = out()
    if verbose:
        for chain in solution.chains:
            console.rule(f"chain {chain.index}", align="left")
            console.print(printable(chain.text), markup=False)
    console.print(chains_table(solution.chains, solution.ballot))
    console.print(ballot_table(solution.ballot, gold))
    answer = solution.ballot.answer
    if answer is None:
        console.print("no chain states an answer", style="yellow")
    else:
        console.print(f"answer: {printable(answer)}", style="bold", markup=False)


def solution_json(solution: Solution) -> dict[str, Any]:
    """The object of `nsad solve --json`: share is of the weight, logprob the mean per token."""
    ballot = solution.ballot
    return {
        "answer": ballot.answer,
        "rule": ballot.rule,
        "share": ballot.share,
        "votes": [
            {"answer": vote.answer, "count": vote.count, "weight": vote.weight, "chains": list(vote.chains)}
            for vote in ballot.votes
        ],
        "chains": [
            {
                "index": chain.index,
                "text": chain.text,
                "answer": chain.answer,
                "weight": chain.weight,
                "logprob": chain.logprob,
                "tokens": len(chain.logprobs),
            }
            for chain in solution.chains
        ],
    }
