"""What a run's stages came to, and what to run next, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import EVAL_BEFORE, RUN_ORDER, stages, table_entry
from nsad_cli.dashboard.live.run_status import RunRow, accuracies
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.dashboard.live.run_files import StageRecord

SHOWN = ("sc", "asc")
"""Rules whose accuracy is shown beside greedy's."""


def outcome(stage: StageRecord) -> list[str]:
    """What a stage came to, in a few lines; empty where it says nothing."""
    if stage.state != "finished":
        return [stage.error] if stage.error else []
    result = stage.result
    if stage.name.startswith("eval"):
        return _accuracies(accuracies(result))
    if stage.name == "collect":
        told = [("{:,.0f} draws", "draws"), ("of {:,.0f} problems", "problems"), ("${:.2f}", "cost")]
        return _line([*told, ("{:,.0f} failed", "failed")], result, " ")
    if stage.name == "grade":
        ledger = result.get("ledger")
        verdicts = ledger.get("verdicts") if isinstance(ledger, Mapping) else None
        counts = verdicts.items() if isinstance(verdicts, Mapping) else ()
        return [", ".join(f"{count} {escape_controls(str(name)).replace('_', ' ')}" for name, count in counts)]
    lines = _line([("held-out loss {:.3f}", "held_out_loss")], result)
    if not lines:
        lines = _line([("{:,.0f} steps", "steps"), ("{:,.0f} tokens", "tokens")], result)
    elif result.get("best_step") != result.get("steps"):
        lines += _line([("best at step {:.0f}", "best_step"), ("of {:.0f}", "steps")], result, " ")
    fit = result.get("calibration")
    return lines + (_line([("pairs ranked right {:.0%}", "ranking_accuracy")], fit) if isinstance(fit, Mapping) else [])


def _line(parts: Iterable[tuple[str, str]], values: Mapping[str, Any], between: str = ", ") -> list[str]:
    """The numbers that are there (and are not nought, but for losses and shares), on one line."""
    found = [
        text.format(value)
        for text, key in parts
        if isinstance(value := values.get(key), int | float) and (value or key not in ("cost", "failed"))
    ]
    return [between.join(found)] if found else []


def _accuracies(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a benchmark and model: greedy's accuracy, and some rules'."""
    kinds = dict.fromkeys((row["benchmark"], row["model"]) for row in rows)
    several = len({benchmark for benchmark, _ in kinds}) > 1
    lines = []
    for benchmark, model in kinds:
        mine = {row["rule"]: row["accuracy"] for row in rows if (row["benchmark"], row["model"]) == (benchmark, model)}
        told = [f"{mine[rule]:.1%} {rule or 'greedy'}" for rule in (None, *SHOWN) if rule in mine]
        lines.append(f"{f'{benchmark} ' if several else ''}{model} {', '.join(told)}")
    return lines


def next_steps(row: RunRow) -> list[str]:
    """What to run, or to do, next: commands begin with `nsad`."""
    again = f"nsad run {shlex.quote(as_typed(row.path / 'recipe.yaml'))} --run {row.name}"
    if row.state == "gone":
        return ["it may come back; q and the command again forget it"]
    if row.state == "unreadable":
        return ["restore the file, or use the version of NSAD that made it"]
    if row.state == "running":
        return ["2 shows its curves, 3 its machine"]
    if row.state == "stalled":
        return ["look at the terminal in which it runs", "end it there and run the same command again: it resumes"]
    if row.state == "empty":
        return [again]
    if row.state != "finished":
        return ["the same command again: it resumes", _command(row.stages, again, row.name)]
    finished = {stage.name for stage in row.stages if stage.state == "finished"}
    table = stages()
    missing = next((name for name in RUN_ORDER if name not in finished and table[name] is not EVAL_BEFORE), None)
    if missing is not None:
        return [f"{table[missing].command_line} --run {row.name}"]
    return [f'nsad solve "…" --run {row.name}', "4 takes its votes apart"]


def _command(stages: Sequence[StageRecord], whole: str, name: str) -> str:
    """The command that goes on with the stage started last."""
    last = max(stages, key=lambda stage: stage.started, default=None)
    if last is None or last.name == EVAL_BEFORE.name:
        return whole
    stage = table_entry(last.name)
    return f"{stage.command_line} --run {name}"


def as_typed(path: Path) -> str:
    """A path as one would type it here: from the folder that one is in, where it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # the folder is gone, or it lies elsewhere
        return str(path)
