"""`nsad demo`: the whole method on built-in problems with SmolLM2-135M, from problems to votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, Device, RunEngine, Settings, recipe_overrides
from nsad_cli.config.stages import STUDENT
from nsad_cli.utils.logs import muted_notes, note

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem

EXAMPLE = "Ana has 12 pens. Ana buys 7 more pens. Ana loses 5 pens. How many pens does Ana have now?"
AMX_MINUTES = 20
"""The time of the demo on two cores with AMX, for comparison on slower processors."""


QUICK = {
    "problems.limit": 60,
    "training.negative.epochs": 2,
    "training.negative.max_examples": 48,
    "training.nat.epochs": 2,
    "training.nat.max_examples": 48,
    "training.nce.epochs": 2,
    "training.nce.max_examples": 48,
    "training.ranker.split": 12,
    "training.ranker.samples": 4,
    "evaluation.limit": 12,
    "evaluation.samples": 4,
}
"""The settings of --quick, for at most three minutes on two cores with AMX."""


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few problems, in about three minutes; its accuracies mean little.")
    ] = False,
    run_name: Annotated[
        str | None, typer.Option("--run", help="The run's name. Default: demo, or demo-quick with --quick.")
    ] = None,
    device: Device = None,
    engine: RunEngine = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole method offline with SmolLM2-135M: about 20 minutes on two cores with AMX; resumable."""
    note(
        "nsad demo: a 135M student learns from a built-in teacher's right and wrong solutions. Ctrl-C stops it; run "
        "the command again to resume."
    )
    from nsad_cli.cli.render.evaluation import contributions_table, results_table
    from nsad_cli.cli.render.solution import print_solution
    from nsad_cli.cli.render.tables import ledger_table
    from nsad_cli.cli.report import write_at_end
    from nsad_cli.cli.run_selection import execute
    from nsad_cli.cli.solve import solve_with
    from nsad_cli.config.recipes import find_recipe, load_recipe
    from nsad_cli.config.stages import RUN_ORDER
    from nsad_cli.inference.solution_json import solution_json
    from nsad_cli.inference.solver import VoteSettings
    from nsad_cli.pipeline.preflight import preflight
    from nsad_cli.runs.run import Run

    own = {
        key: value for key, value in recipe_overrides(None, device, None, engine, settings).items() if value is not None
    }
    recipe = load_recipe(find_recipe("demo"), {**(QUICK if quick else {}), **own})
    name = run_name or ("demo-quick" if quick else "demo")
    preflight(recipe, RUN_ORDER, name)
    if quick:
        note(f"--quick: {recipe.evaluation.limit} test problems, so that the accuracies below mean little")
    else:
        _note_time(name, recipe)
    run = Run.create(name, recipe)
    results = execute(run, RUN_ORDER)
    rows = results["eval-before"]["results"] + results["eval"]["results"]
    problem = _unsolved(run)
    note(f"\nsolving one held-out problem:\n  {problem.question}")
    votes = VoteSettings.of(run.recipe.solve)
    solution = solve_with(run, problem, votes)
    steps, negatives = _steps(run), results["eval"].get("negatives", [])
    write_at_end(run)
    if as_json:
        shown = {"run": run.name, "results": rows, "steps": steps, "negatives": negatives}
        print_json({**shown, "solve": solution_json(solution)})
        return
    console = out()
    console.print(ledger_table(results["grade"]["ledger"]["rows"]))
    console.print(results_table(rows))
    console.print(f"[bold]Problem[/] {problem.question}")
    print_solution(solution, votes)
    console.print(contributions_table(steps))
    console.print(_verdict(rows))
    for row in negatives:
        console.print(f"Effect of negatives on {row['model']}: {row['summary']}.", _from_negatives(row["kl"]))
    if quick:
        console.print("These are few problems: `nsad demo` measures on 100, with intervals of about ±10 points.")
    console.print(
        "\nNow try a problem like those that it learned from (two or three steps; it has seen no one-step problem):\n"
        f'  nsad solve "{EXAMPLE}" --run {run.name}\n'
        f"  nsad dashboard --run {run.name} --view votes\n"
        "  nsad run gsm8k-solutions-smollm2 --plan     (real rationales; see docs/recipes.md)",
        markup=False,
        soft_wrap=True,
    )


def _note_time(name: str, recipe: Recipe) -> None:
    """Log how long the rest of the demo takes on this machine, by the plan of `nsad run demo --plan`."""
    from nsad_cli.models.device import pick_device
    from nsad_cli.pipeline.plan import make_plan
    from nsad_cli.utils.processor import cpu_lacks_amx

    note("estimating the time on this machine …")
    with muted_notes():
        plan = make_plan(name, recipe)
    slow = pick_device(recipe.student.device).type == "cpu" and cpu_lacks_amx()
    if plan.seconds_left:
        note(time_sentence(plan.seconds_left, resumed=any(stage.state == "done" for stage in plan.stages), slow=slow))


def time_sentence(seconds: float, *, resumed: bool, slow: bool) -> str:
    """Phrase the estimated time.

    Args:
        seconds: The estimated time that remains.
        resumed: Whether a part of the demo is already done.
        slow: Whether it runs on a CPU without AMX; the time with AMX is mentioned if it is shorter.
    """
    minutes = max(1, round(seconds / 60))
    about = f"about {minutes} minute{'s' if minutes > 1 else ''}{' more' if resumed else ''} on this processor"
    if not slow:
        return about
    shorter = f"; about {AMX_MINUTES} on two cores with it" if minutes > AMX_MINUTES and not resumed else ""
    return f"{about} (no AMX{shorter})"


def _steps(run: Run) -> list[dict[str, Any]]:
    """Test each step of the method against the one before it, on the evaluation's problems."""
    from nsad_cli.evaluation.contributions import contributions
    from nsad_cli.evaluation.measure import load_benchmarks
    from nsad_cli.grading.checker import Checker

    settings = run.recipe.evaluation
    _, problems = load_benchmarks(run, settings.benchmarks[:1], settings.limit)[0]
    with Checker() as checker:
        return contributions(run, problems, settings.samples, checker)


def _from_negatives(kl: float) -> str:
    """Say what of NAT's accuracy can come from wrong rationales."""
    from nsad_cli.models.nat.effect_size import NO_EFFECT

    if kl < NO_EFFECT:
        return "What NAT gained came from right rationales and its MLP, not from wrong ones."
    return "Whether that helps, `nsad study` shows, with a positive-only control."


def _unsolved(run: Run) -> Problem:
    """Return the first test problem that the evaluation does not use."""
    from nsad_cli.problems.arithmetic import problems

    measured = run.recipe.evaluation.limit or 0
    return list(problems("test", measured + 1))[-1]


def _verdict(rows: list[dict[str, Any]]) -> str:
    """Describe the measured accuracies before and after training, and whether their intervals overlap."""
    found = {(row["model"], row["rule"] or row["method"]): row for row in rows}
    before, after = found[("base", "greedy")], found.get((STUDENT.name, "greedy"))
    if after is None:
        return "The NCE student was not evaluated: evaluation.models does not include it."
    parts = [
        f"Greedy answers: {_share(before)} right before training, {_share(after)} after.",
        " ".join(
            f"{rule}: {_share(found[(STUDENT.name, rule)])}." for rule in ("sc", "asc") if (STUDENT.name, rule) in found
        ),
    ]
    if after["ci95"][0] > before["ci95"][1]:
        parts.append("The intervals do not overlap: a gain.")
    elif after["ci95"][1] < before["ci95"][0]:
        parts.append("The intervals do not overlap: a loss.")
    else:
        parts.append("The intervals overlap: no gain is shown.")
    return "\n".join(filter(None, parts))


def _share(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    cut = f", {row['truncated']:.0%} of chains truncated" if row["truncated"] else ""
    return f"{row['accuracy']:.0%} ({low:.0%} – {high:.0%}, {row['n']} problems{cut})"
