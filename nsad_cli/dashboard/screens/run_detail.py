"""Summaries of a run's stages, and the commands to run next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import EVAL_BEFORE, RUN_ORDER, stages, table_entry
from nsad_cli.dashboard.live.run_status import RunRow, accuracies
from nsad_cli.models.nat.effect_size import short_effect
from nsad_cli.runs.negative_effect import KEY
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.run_files import StageRecord

SHOWN_RULES = ("sc", "asc")
"""Rules whose accuracy is shown in addition to that of greedy decoding."""


def stage_summary(stage: StageRecord) -> list[str]:
    """Summarise a stage's result or error in a few lines; empty if it has none."""
    if stage.state != "finished":
        return [stage.error] if stage.error else []
    result = stage.result
    if stage.name.startswith("eval"):
        return _accuracies(accuracies(result)) + _effects(result.get("negatives"))
    if stage.name == "collect":
        parts = [("{:,.0f} samples", "draws"), ("of {:,.0f} problems", "problems"), ("${:.2f}", "cost")]
        return _line([*parts, ("{:,.0f} failed", "failed")], result, " ")
    if stage.name == "grade":
        ledger = result.get("ledger")
        verdicts = ledger.get("verdicts") if isinstance(ledger, Mapping) else None
        counts = verdicts.items() if isinstance(verdicts, Mapping) else ()
        return [", ".join(escape_controls(f"{count} {str(name).replace('_', ' ')}") for name, count in counts)]
    lines = _line([("held-out loss {:.3f}", "held_out_loss")], result)
    if not lines:
        lines = _line([("{:,.0f} steps", "steps"), ("{:,.0f} tokens", "tokens")], result)
    elif result.get("best_step") != result.get("steps"):
        lines += _line([("best at step {:.0f}", "best_step"), ("of {:.0f}", "steps")], result, " ")
    fit = result.get("calibration")
    return (
        lines
        + _effects([result.get(KEY)])
        + (_line([("pairs ranked correctly {:.0%}", "ranking_accuracy")], fit) if isinstance(fit, Mapping) else [])
    )


def _line(parts: Iterable[tuple[str, str]], values: Mapping[str, Any], between: str = ", ") -> list[str]:
    """Join the numbers that are present on one line; a cost or failure count of 0 is omitted."""
    found = [
        text.format(value)
        for text, key in parts
        if isinstance(value := values.get(key), int | float) and (value or key not in ("cost", "failed"))
    ]
    return [between.join(found)] if found else []


def _accuracies(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per benchmark and model: the accuracies of greedy decoding and of SHOWN_RULES."""
    kinds = dict.fromkeys((row["benchmark"], row["model"]) for row in rows)
    several = len({benchmark for benchmark, _ in kinds}) > 1
    lines = []
    for benchmark, model in kinds:
        mine = {row["rule"]: row["accuracy"] for row in rows if (row["benchmark"], row["model"]) == (benchmark, model)}
        shown = [f"{mine[rule]:.1%} {rule or 'greedy'}" for rule in (None, *SHOWN_RULES) if rule in mine]
        lines.append(f"{f'{benchmark} ' if several else ''}{model} {', '.join(shown)}")
    return lines


def _effects(rows: Any) -> list[str]:
    """Return one line per measured effect of NAT's negative branch."""
    lines = []
    for row in rows if isinstance(rows, list) else []:
        kl = row.get("kl") if isinstance(row, Mapping) else None
        if isinstance(kl, int | float):
            of = f" on {escape_controls(str(row['model']))}" if "model" in row else ""
            lines.append(f"effect of negatives{of}: {short_effect(kl)}")
    return lines


def next_steps(row: RunRow) -> list[str]:
    """Return what to do next, a line each; commands begin with `nsad`."""
    again = f"nsad run {shlex.quote(display_path(row.path / 'recipe.yaml'))} --run {row.name}"
    if row.state == "gone":
        return ["restart the dashboard to remove it from the list"]
    if row.state == "unreadable":
        return ["restore the file, or use the version of NSAD that created it"]
    if row.state == "running":
        return ["2: its curves, 3: its machine"]
    if row.state == "stalled":
        return ["check the terminal in which it runs", "stop it there and run the same command again to resume"]
    if row.state == "empty":
        return [again]
    if row.state != "finished":
        return ["run the same command again to resume:", _resume_command(row.stages, again, row.name)]
    finished = {stage.name for stage in row.stages if stage.state == "finished"}
    table = stages()
    missing = next((name for name in RUN_ORDER if name not in finished and table[name] is not EVAL_BEFORE), None)
    if missing is not None:
        return [f"{table[missing].command_line} --run {row.name}"]
    return [f'nsad solve "…" --run {row.name}', "4: its votes"]


def _resume_command(stages: Sequence[StageRecord], run_command: str, name: str) -> str:
    """Return the command that resumes the stage started last."""
    last = max(stages, key=lambda stage: stage.started, default=None)
    if last is None or last.name == EVAL_BEFORE.name:
        return run_command
    stage = table_entry(last.name)
    return f"{stage.command_line} --run {name}"


def display_path(path: Path) -> str:
    """Return a path relative to the current folder if it is inside, else unchanged."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # the current folder was deleted, or the path is outside it
        return str(path)
