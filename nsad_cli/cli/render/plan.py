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
        "samples",
        "steps",
        "tokens",
        "LoRA",
        "unit",
        "GiB",
        "time",
        "calls",
        "cost",
        left=1,
    )
    table.padding = 0  # ten columns in 80 cells: the box's own space between columns is enough
    for column in table.columns:
        column.no_wrap = True
    for stage in plan.stages:
        if stage.own_samples:
            table.add_row(*_own_chains(stage))
        table.add_row(*_cells(stage))
    table.add_section()
    total = remaining(plan)
    cells = (
        "remaining",
        "",
        short(total["steps"]),
        short(total["tokens"]),
        *[""] * 3,
        duration(total["seconds"]),
        short(total["calls"]),
        _cost(total["cost"]),
    )
    table.add_row(*(f"[bold]{cell}" if cell else "" for cell in cells))
    console = out()
    console.print(table)
    console.print("~ is an estimate. LoRA, unit: trained parameters. GiB: weights, adapters,")
    console.print("optimizer, activations. Tokens: trained on or generated. Remaining: the stages")
    console.print("that are not done. Chains: sampled by the run itself, as training data.")
    for note in plan.notes:
        console.print(f"  {note}", markup=False)


def remaining(plan: Plan) -> dict[str, Any]:
    """Return the sums over the stages that are not done; None if a term is unknown."""
    left = [stage for stage in plan.stages if stage.state != "done"]

    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return {
        "steps": sum(stage.steps or 0 for stage in left),
        "tokens": sum((stage.tokens or 0) + stage.own_tokens for stage in left),
        "seconds": total([stage.seconds for stage in left]),
        "calls": sum(stage.calls for stage in left),
        "cost": total([stage.cost for stage in left]),
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """Convert a plan to the object of `nsad run --plan --json`; null means unknown or not applicable."""
    return {
        "run": plan.run,
        "stages": [dataclasses.asdict(stage) for stage in plan.stages],
        "total": remaining(plan),
        "notes": list(plan.notes),
    }


def _cells(stage: StagePlan) -> list[str]:
    samples, tokens = ("~" if name in stage.estimated else "" for name in ("samples", "tokens"))
    done = stage.state == "done"
    seconds = None if stage.seconds is None or stage.own_seconds is None else stage.seconds - stage.own_seconds
    return [
        stage.stage,
        samples + _count(stage.samples),
        "–" if stage.steps is None else samples + _count(stage.steps),
        f"{tokens}{short(stage.tokens)}" if stage.tokens else "–",
        short(stage.lora_parameters) if stage.lora_parameters else "–",
        short(stage.unit_parameters) if stage.unit_parameters else "–",
        "–" if stage.memory_gib is None else f"~{stage.memory_gib:.1f}",
        "[green]done" if done else duration(seconds),
        short(stage.calls) if stage.stage == "collect" and not done else "–",
        _cost(stage.cost) if stage.stage == "collect" and not done else "–",
    ]


def _own_chains(stage: StagePlan) -> list[str]:
    """Return the row of the chains that are sampled as a stage's training data."""
    counts = f"~{_count(stage.own_samples)}", "–", f"~{short(stage.own_tokens)}"
    return [f"{stage.stage} chains", *counts, *"–––", duration(stage.own_seconds), *"––"]


def _count(number: int) -> str:
    return f"{number:,}" if number < 100_000 else short(number)


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
