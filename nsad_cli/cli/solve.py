"""`nsad solve`: chains, weights, votes, an answer; one problem, or a file of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli.options import RULES_TOLD, AsJson, Device, EngineName, RunName, StopAt
from nsad_cli.cli.output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.chains import ChainStore
    from nsad_cli.runs import Run
    from nsad_cli.solve import Ask, Solution, Solver
    from nsad_cli.types import Problem


def solve(
    question: Annotated[
        str | None, typer.Argument(metavar="PROBLEM", help="The problem's text; - reads standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help='A file of them: a line each, or {"question": "…"} each where it ends in .jsonl.'),
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", help=f"{RULES_TOLD} Unset: its recipe's (asc).")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Chains to draw.")] = None,
    stop_at: StopAt = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains drawn at once.")] = 4,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every chain in full, by steps.")] = False,
    run_name: RunName = None,
    engine: EngineName = "hf",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Answer a problem with the student: several chains, weighed by the ranker, vote. The run keeps all of them."""
    from nsad_cli.asked import asked, given, read_asked
    from nsad_cli.cli.solution import print_solution, solution_json
    from nsad_cli.engines import parse_engine
    from nsad_cli.errors import UsageError
    from nsad_cli.runs import Run
    from nsad_cli.stopping import need_stoppable

    if (question is None) == (file is None):
        raise UsageError("PROBLEM or --file FILE, one of them", "there is one way to ask", 'write nsad solve "…"')
    check_rule(rule)
    parse_engine(engine)
    if file is not None:
        problems = read_asked(file.expanduser(), say)
    else:
        text = given(question or "").strip()
        if not text:
            raise UsageError(
                "the problem is empty", "there is nothing to solve", 'write nsad solve "…", or pipe it to -'
            )
        problems = [asked(text)]
    run = Run.open(run_name, finished=True)
    settings = run.recipe.solve
    ask = make_ask(samples or settings.samples, rule or settings.rule, stop_at, wave)
    if stop_at is not None:
        need_stoppable(ask.rule)
    if file is not None:
        from nsad_cli.cli.solve_list import solve_list

        solve_list(run, problems, ask, device, engine, verbose=verbose, as_json=as_json)
        return
    solution = solve_with(run, problems[0], ask, device, engine)
    if as_json:
        print_json(solution_json(solution, ask))
    else:
        print_solution(solution, ask, verbose=verbose)


def check_rule(rule: str | None, *more: str) -> None:
    """Raise UsageError for a rule that is none."""
    from nsad_cli.errors import UsageError
    from nsad_cli.voting import RULES

    known = (*RULES, *more)
    if rule is not None and rule not in known:
        raise UsageError(f"unknown rule `{rule}`", "votes are counted by another", f"rules: {', '.join(known)}")


def make_ask(samples: int, rule: str, stop_at: float | None = None, wave: int = 1) -> Ask:
    """How problems are asked."""
    from nsad_cli.solve import Ask

    return Ask(samples, rule, stop_at, min(wave, samples))


def solve_with(
    run: Run, problem: Problem, ask: Ask | None = None, device: str | None = None, engine: str = "hf"
) -> Solution:
    """Solve a problem with a run's best model, showing chains as they arrive; all chains are kept in the run."""
    from nsad_cli.cli.watch import Watching

    ask = ask or make_ask(run.recipe.solve.samples, run.recipe.solve.rule)
    with opened(run, [problem], ask, device, engine) as asking, Watching(asking.solver.ask) as watching:
        (solution,) = asking.solver.solve([problem], watching, watching.tokens)
        asking.keep(solution)
    return solution


@dataclass
class Asking:
    """A run's solver beside the store of its chains."""

    solver: Solver
    store: ChainStore
    key: dict[str, str]
    together: int
    """Problems whose waves fill the engine's batch."""

    def keep(self, solution: Solution) -> None:
        """Keep a solution's answers, classes and weights beside its chains, which are kept already."""
        self.store.put(solution.problem, solution.chains, **self.key)
        if self.solver.ranker is not None:
            weights = {chain.index: chain.weight for chain in solution.chains}
            self.store.put_weights(solution.problem.id, weights, ranker=self.solver.ranker.name, **self.key)


@contextlib.contextmanager
def opened(
    run: Run, problems: Sequence[Problem], ask: Ask, device: str | None = None, engine: str = "hf"
) -> Iterator[Asking]:
    """Load a run's best model and ranker, saying on stderr which, and what the run lacks."""
    say(f"run: {run.name}; loading the student …")
    from nsad_cli.answers.checker import Checker
    from nsad_cli.chains import ChainStore
    from nsad_cli.engines import parse_engine
    from nsad_cli.evaluation.runner import sampling_key
    from nsad_cli.generation.kept import KeptSampler
    from nsad_cli.generation.sampler import Sampling
    from nsad_cli.recipes import load_recipe
    from nsad_cli.session import Session
    from nsad_cli.solve import Solver

    recipe = load_recipe(run.path / "recipe.yaml", {"student.device": device})
    session = Session(run, recipe, say)
    model = session.best_model()
    ranker = session.ranker()
    sampling = Sampling.of(recipe.sampling)
    key = {
        "model": model,
        "model_key": parse_engine(engine).key(session.model_key(model)),
        "sampling": sampling_key(sampling, recipe.seed),
    }
    with ChainStore(run.chains_path) as store, Checker() as checker:
        sampler = KeptSampler(session.sampler(model, engine), store, key, problems, ranker.name if ranker else None)
        solver = Solver(sampler, sampling, ranker, checker, ask, seed=str(recipe.seed))
        missing = "" if model == "nce" else " (no NCE student in this run)"
        early = "" if ask.stop_at is None else f" at most, {ask.wave} at a time until {ask.stop_at:.0%} sure"
        say(f"model: {model}{missing}; {ask.samples} chains{early}, rule {solver.ask.rule}")
        for note in solver.notes:
            say(note)
        yield Asking(solver, store, key, max(1, recipe.sampling.batch_size // len(solver.ask.waves()[0])))
