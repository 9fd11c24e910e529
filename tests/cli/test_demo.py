"""`nsad demo`: the sizes of its recipe, and the sentence on its time."""

from __future__ import annotations

import pytest

from nsad_cli.cli.demo import AMX_MINUTES, time_sentence
from nsad_cli.config.recipes import find_recipe, load_recipe
from nsad_cli.config.stages import RANKER, TRAINING


def test_the_demo_keeps_its_sizes() -> None:
    recipe = load_recipe(find_recipe("demo"), {})
    assert {recipe.training.of(stage.name).epochs for stage in TRAINING if stage is not RANKER} == {3}
    assert (recipe.training.ranker.split, recipe.training.ranker.samples) == (96, 8)
    assert (recipe.evaluation.limit, recipe.evaluation.samples) == (100, 8)
    assert (recipe.problems.limit, recipe.teacher.draws) == (240 + 96, 4)


@pytest.mark.parametrize(
    ("minutes", "resumed", "slow", "said"),
    [
        (35, False, True, f"about 35 minutes on this processor (no AMX; about {AMX_MINUTES} on two cores with it)"),
        (12, False, True, "about 12 minutes on this processor (no AMX)"),
        (35, True, True, "about 35 minutes more on this processor (no AMX)"),
        (14.4, False, False, "about 14 minutes on this processor"),
        (0.1, True, False, "about 1 minute more on this processor"),
    ],
)
def test_the_time_is_told_at_the_start(minutes: float, resumed: bool, slow: bool, said: str) -> None:
    assert time_sentence(60 * minutes, resumed=resumed, slow=slow) == said
