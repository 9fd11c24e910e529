"""The output of `nsad run --plan`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import out, print_json

if TYPE_CHECKING:
    from nsad_cli.pipeline.plan import Plan
    from nsad_cli.pipeline.plan_draft import StagePlan


def show_plan(plan: Plan, as_json: bool) -> None:
    """Print a plan as a table with its notes, or as one JSON object."""
    if as_json:
        print_json(plan_json(plan))
        return
    from nsad_cli.cli.render.tables import new_table

    table = new_table(
        f"Plan of run {plan.run}",
        "stage",
        "state",
        "samples",
        "tokens",
        "LoRA",
        "unit",
        "GiB",
        "time",
        "calls",
        "cost",
        left=2,
    )
    table.padding = 0  # ten columns in 80 cells: the box's own space between columns is enough
    for column in table.columns:
        column.no_wrap = True
    for stage in plan.stages:
        table.add_row(*_cells(stage))
    table.add_section()
    left = [stage for stage in plan.stages if stage.state != "done"]
    table.add_row(
        "[bold]remaining",
        *[""] * 6,
        f"[bold]{duration(plan.seconds_left)}",
        f"[bold]{short(sum(stage.calls for stage in left))}",
        f"[bold]{_cost(None if any(stage.cost is None for stage in left) else sum(stage.cost or 0 for stage in left))}",
    )
    console = out()
    console.print(table)
    console.print("~ is an estimate. LoRA, unit: trained parameters. GiB: weights, adapters,")
    console.print("optimizer, activations. Time, calls, cost: what remains to be spent.")
    for note in plan.notes:
        console.print(f"  {note}", markup=False)


def plan_json(plan: Plan) -> dict[str, Any]:
    """Convert a plan to the object of `nsad run --plan --json`; null means unknown or not applicable."""
    return {
        "run": plan.run,
        "stages": [dataclasses.asdict(stage) for stage in plan.stages],
        "notes": list(plan.notes),
    }


def _cells(stage: StagePlan) -> list[str]:
    samples, tokens = ("~" if name in stage.estimated else "" for name in ("samples", "tokens"))
    done = stage.state == "done"
    return [
        stage.stage,
        f"[green]{stage.state}" if done else stage.state,
        samples + (f"{stage.samples:,}" if stage.samples < 100_000 else short(stage.samples)),
        f"{tokens}{short(stage.tokens)}" if stage.tokens else "–",
        short(stage.lora_parameters) if stage.lora_parameters else "–",
        short(stage.unit_parameters) if stage.unit_parameters else "–",
        "–" if stage.memory_gib is None else f"~{stage.memory_gib:.1f}",
        "–" if done else duration(stage.seconds),
        short(stage.calls) if stage.stage == "collect" and not done else "–",
        _cost(stage.cost) if stage.stage == "collect" and not done else "–",
    ]


def _cost(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:.2f}"


def short(number: float) -> str:
    """Format a count in at most five characters: 950, 12.3k, 2.44M, 6.74B."""
    number = float(f"{number:.3g}")
    for size, mark in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            digits = 2 if number < 10 * size else 1 if number < 100 * size else 0
            return f"{number / size:.{digits}f}{mark}"
    return f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """Format an estimated time: ~40 s, ~12 min, ~3.5 h, ~4 d."""
    if seconds is None:
        return "unknown"
    for size, mark, most in ((1.0, "s", 90), (60.0, "min", 90), (3600.0, "h", 48)):
        if seconds < most * size:
            return (
                f"~{seconds / size:.1f} {mark}" if mark == "h" and seconds < 36000 else f"~{seconds / size:.0f} {mark}"
            )
    return f"~{seconds / 86400:.0f} d"
