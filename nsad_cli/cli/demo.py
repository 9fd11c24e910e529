"""`nsad demo`: the whole method on built-in problems with SmolLM2-135M, from problems to votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, Device, Settings, parse_settings
from nsad_cli.config.stages import STUDENT
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


def demo(device: Device = None, settings: Settings = None, as_json: AsJson = False) -> None:
    """Run the whole method offline with SmolLM2-135M: about 15 minutes on two cores; resumable."""
    note(
        "nsad demo: a 135M student learns from a built-in teacher's right and wrong solutions. Ctrl-C stops it; run "
        "the command again to resume."
    )
    from nsad_cli.cli.render.evaluation import results_table
    from nsad_cli.cli.render.solution import print_solution, solution_json
    from nsad_cli.cli.render.tables import ledger_table
    from nsad_cli.cli.report import write_at_end
    from nsad_cli.cli.run_selection import execute
    from nsad_cli.cli.solve import solve_with
    from nsad_cli.config.recipes import find_recipe, load_recipe
    from nsad_cli.config.stages import RUN_ORDER
    from nsad_cli.inference.solver import VoteSettings
    from nsad_cli.pipeline.preflight import preflight
    from nsad_cli.runs.run import Run

    recipe = load_recipe(find_recipe("demo"), {"student.device": device, **parse_settings(settings)})
    preflight(recipe, RUN_ORDER, "demo")
    run = Run.create("demo", recipe)
    results = execute(run, RUN_ORDER)
    rows = results["eval-before"]["results"] + results["eval"]["results"]
    problem = _unsolved(run)
    note(f"\nsolving one held-out problem:\n  {problem.question}")
    votes = VoteSettings.of(run.recipe.solve)
    solution = solve_with(run, problem, votes)
    write_at_end(run)
    if as_json:
        print_json({"run": run.name, "results": rows, "solve": solution_json(solution)})
        return
    console = out()
    console.print(ledger_table(results["grade"]["ledger"]["rows"]))
    console.print(results_table(rows))
    console.print(f"[bold]Problem[/] {problem.question}")
    print_solution(solution, votes)
    console.print(_verdict(rows))
    console.print(
        "\nNow try a problem like those that it learned from (two or three steps; it has seen no one-step problem):\n"
        '  nsad solve "Ana has 12 pens. Ana buys 7 more pens. Ana loses 5 pens. How many pens does Ana have now?"\n'
        "  nsad stats --run demo\n  nsad run gsm8k-solutions-smollm2     (real rationales; see the README)"
    )


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
