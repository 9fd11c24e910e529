"""What a run's model was trained on: tokens and steps of all its stages, and its parameters; nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.stages import stages, training_stages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from nsad_cli.runs.run import Run


@dataclass(frozen=True, slots=True)
class TrainedSize:
    """The size of a model's training, from the run's manifest.

    Attributes:
        tokens: The tokens that each of the model's stages was trained on, earlier stages included; None if unknown.
        steps: The training steps of each of these stages.
        parameters: The parameters of the model's adapter, and of the frozen one beside NAT, which is trained too.
    """

    tokens: Mapping[str, int | None]
    steps: Mapping[str, int | None]
    parameters: int

    @property
    def total_tokens(self) -> int | None:
        """The sum of the tokens; None if those of a stage are unknown."""
        known = [count for count in self.tokens.values() if count is not None]
        return sum(known) if len(known) == len(self.tokens) else None


def trained_size(run: Run, model: str) -> TrainedSize:
    """Read the size of a model's training; an untrained model has no stages and no parameters."""
    has_manifest = (run.path / "manifest.json").is_file()
    records: Mapping[str, Any] = run.stages() if has_manifest else {}
    source = run.recipe.training.negative.source if has_manifest else "teacher"
    results = {name: records.get(name, {}).get("result", {}) for name in training_stages(model, source)}
    stage = stages().get(model)
    adapters = [model, *([stage.companion] if stage and stage.companion else [])]
    return TrainedSize(
        {name: result.get("tokens") for name, result in results.items()},
        {name: result.get("steps") for name, result in results.items()},
        sum(results.get(name, {}).get("trained_parameters", 0) for name in adapters),
    )
