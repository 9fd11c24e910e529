"""Equal budgets: settings that give every arm of a seed as many tokens, steps or parameters as the largest one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import LearnsFrom, stages
from nsad_cli.pipeline.plan import planning
from nsad_cli.study.cells import with_settings
from nsad_cli.utils.logs import muted_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nsad_cli.pipeline.memory import Footprint
    from nsad_cli.study.cells import Cell


@dataclass(frozen=True, slots=True)
class Size:
    """What a cell would train: tokens of each stage, and examples, steps and parameters of its model."""

    tokens: Mapping[str, int]
    examples: int
    steps: int
    parameters: int
    """Those of the model's adapters: its own, and of NAT the frozen one beside it, which is trained too."""
    lora: int
    """The parameters of one LoRA."""


def measure_cell(cell: Cell, store: Path | None = None) -> Size:
    """Measure what a cell would train with its recipe, as if nothing were trained yet.

    The figures are exact after the collection has been graded, except those of stages that sample their own chains.

    Args:
        cell: A cell of a trained model.
        store: The store of rationales, if the cell's run does not exist yet.

    Returns:
        The size.
    """
    from nsad_cli.pipeline.plan_training import plan_training

    table = cell.table
    with muted_notes(), planning(cell.name, cell.recipe, store=store) as context:
        context.force = True  # what is trained already must not change the budget of a study that is resumed
        for name in cell.stages:
            context.drafts[name] = plan_training(context, table[name])
        drafts = [context.drafts[name] for name in cell.stages]
        own = drafts[-1]
        return Size(
            {draft.stage: round(draft.tokens or 0) for draft in drafts},
            round(own.samples),
            max(1, own.more.get("steps") or 0),
            model_parameters(cell, context.footprint),
            context.footprint.lora,
        )


def model_parameters(cell: Cell, footprint: Footprint) -> int:
    """Return the trained parameters of a cell's adapter and of the frozen one beside it."""
    stage = cell.table[cell.arm.model]
    both = [stage, *([cell.table[stage.companion]] if stage.companion else [])]
    return sum(sum(footprint.trained(one)) for one in both if one.learns_from is not LearnsFrom.NOTHING)


def equalise(cells: Sequence[Cell], rule: str | None) -> tuple[Cell, ...]:
    """Return cells with equal budgets; cells of untrained models are unchanged.

    Args:
        cells: The cells, whose collection has been graded; otherwise the budgets are estimates.
        rule: See EQUAL in study.definition; None changes nothing.
    """
    if rule is None:
        return tuple(cells)
    rules: dict[str, Rule] = {"total-tokens": equal_tokens, "steps": equal_steps, "parameters": equal_parameters}
    changed: dict[str, Cell] = {}
    for seed in dict.fromkeys(cell.seed for cell in cells):
        trained = {cell: measure_cell(cell) for cell in cells if cell.seed == seed and cell.stages}
        for cell, settings in rules[rule](trained).items():
            recipe = with_settings(cell.recipe, settings, f"the budget of the arm `{cell.arm.name}`")
            changed[cell.name] = dataclasses.replace(cell, recipe=recipe)
    return tuple(changed.get(cell.name, cell) for cell in cells)


def equal_tokens(sizes: Mapping[Cell, Size]) -> dict[Cell, dict[str, Any]]:
    """Give each arm the total tokens of the largest one, earlier stages included.

    The earlier stages keep their tokens and the arm's own stage gets the rest; baselines share one section of the
    recipe, so that a baseline that requires others divides the rest equally among them. Whole steps are
    trained: each stage comes to within half a step of its share.
    """
    total = max((sum(size.tokens.values()) for size in sizes.values()), default=0)
    found = {}
    for cell, size in sizes.items():
        section = stages()[cell.arm.model].section
        own = [name for name in size.tokens if stages()[name].section == section]
        fixed = sum(tokens for name, tokens in size.tokens.items() if name not in own)
        half = size.tokens[cell.arm.model] / size.steps / 2  # the last step exceeds the setting: round to the nearest
        found[cell] = {f"training.{section}.tokens": max(1, round((total - fixed) / len(own) - half))}
    return found


def equal_steps(sizes: Mapping[Cell, Size]) -> dict[Cell, dict[str, Any]]:
    """Give each arm's own stage the steps of the longest one."""
    steps = max((size.steps for size in sizes.values()), default=0)
    found = {}
    for cell, size in sizes.items():
        section, batch = stages()[cell.arm.model].section, cell.recipe.training.of(cell.arm.model).batch_size
        epochs = (steps * batch - 0.5) / max(size.examples, 1)  # rounded up to steps × batch examples
        found[cell] = {f"training.{section}.epochs": epochs, f"training.{section}.tokens": None}
    return found


def equal_parameters(sizes: Mapping[Cell, Size]) -> dict[Cell, dict[str, Any]]:
    """Choose the rank of plain arms so that they have as many parameters as the largest NAT adapter.

    A plain arm trains LoRAs only, in all of its stages. lora_alpha grows with the rank, which keeps the scale.
    """
    table = stages()
    has_unit = {cell: any(table[name].adapter == "nat" for name in cell.stages) for cell in sizes}
    most = max((size.parameters for cell, size in sizes.items() if has_unit[cell]), default=0)
    most = most or max((size.parameters for size in sizes.values()), default=0)
    found = {}
    for cell, size in sizes.items():
        if not has_unit[cell]:
            adapter = cell.recipe.adapter
            rank = max(1, round(adapter.r * most / size.parameters))
            found[cell] = {"adapter.r": rank, "adapter.alpha": adapter.alpha * rank / adapter.r}
    return found


if TYPE_CHECKING:
    Rule = Callable[[Mapping[Cell, Size]], dict[Cell, dict[str, Any]]]
