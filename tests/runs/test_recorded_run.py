"""A run that version 0.1.0 recorded, before the modules moved: everything opens, and nothing is done again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.recorded_run import QUESTION, nsad, recorded_output, unpack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


LATER_RULES = ("asc-add2",)
"""Vote rules that version 0.1.0 did not have: evaluations have further rows."""


def close(value: Any, other: Any) -> bool:
    """Whether two JSON values are equal except for rounding, and for keys and vote rules that were added since."""
    if isinstance(other, dict):
        return isinstance(value, dict) and all(key in value and close(value[key], other[key]) for key in other)
    if isinstance(other, list):
        if not isinstance(value, list):
            return False
        known = [item for item in value if not (isinstance(item, dict) and item.get("rule") in LATER_RULES)]
        return len(known) == len(other) and all(map(close, known, other))
    return bool(value == pytest.approx(other, rel=1e-4)) if isinstance(other, float) else bool(value == other)


REGRADED = ("grade", "eval-before", "eval")
"""Stages whose keys hold the version of the grader."""


def test_running_the_recipe_again_trains_and_samples_nothing(recorded: Path) -> None:
    manifest = (recorded / "runs/recorded/manifest.json").read_text(encoding="utf-8")
    printed, notes = nsad(recorded, "run", "recipe.yaml")
    assert close(printed, recorded_output(recorded, "run"))
    for stage in ("collect", "negative", "nat", "nce", "ranker"):
        assert f"{stage}: already done with these settings" in notes
    before = json.loads(manifest)["stages"]
    after = json.loads((recorded / "runs/recorded/manifest.json").read_text())["stages"]
    for name in REGRADED:  # the grader is newer: verdicts and results are computed again, from the same chains
        assert close(after.pop(name)["result"], before.pop(name)["result"])
    assert after == before


def test_a_baseline_is_still_done(recorded: Path) -> None:
    printed, notes = nsad(recorded, "train-baseline", "cot-kd", "--run", "recorded")
    assert "cot-kd: already done with these settings" in notes
    assert printed["stages"]["cot-kd"]["weights"]


def test_stored_chains_give_the_same_evaluation(recorded: Path) -> None:
    models = [part for model in ("nce", "nat", "cot-kd") for part in ("--model", model)]
    printed, _ = nsad(recorded, "eval", "--run", "recorded", *models)
    assert close(printed, recorded_output(recorded, "eval"))


def test_a_solved_problem_keeps_its_chains(recorded: Path) -> None:
    printed, _ = nsad(recorded, "solve", QUESTION, "--run", "recorded", "--samples", "4")
    assert close(printed, recorded_output(recorded, "solve"))


@pytest.mark.parametrize("name", ["stats", "vote"])
def test_the_stores_read_as_they_did(recorded: Path, name: str) -> None:
    printed, expected = nsad(recorded, name, "--run", "recorded")[0], recorded_output(recorded, name)
    for value in (printed, expected):
        for stage in REGRADED:
            value.get("stages", {}).pop(stage, None)
    assert close(printed, expected)


def test_exported_folders_hold_the_runs_own_weights(recorded: Path) -> None:
    from safetensors.torch import load_file

    own = load_file(recorded / "runs/recorded/adapters/nce/adapter_model.safetensors")
    lora = load_file(recorded / "exported_lora/adapter_model.safetensors")
    assert own.keys() == lora.keys()
    assert all(own[name].equal(lora[name]) for name in own)


def test_an_exported_nat_folder_is_what_is_exported_today(recorded: Path) -> None:
    from safetensors.torch import load_file

    nsad(recorded, "export", "--run", "recorded", "--for", "vllm", "--model", "nat", "again")
    then_files = {path.name for path in (recorded / "exported_nat").iterdir()}
    assert {path.name for path in (recorded / "again").iterdir()} == then_files
    for path in (recorded / "exported_nat").glob("*.safetensors"):
        old, new = load_file(path), load_file(recorded / "again" / path.name)
        assert old.keys() == new.keys()
        assert all(old[name].equal(new[name]) for name in old)
    old, new = (json.loads((recorded / name / "config.json").read_text()) for name in ("exported_nat", "again"))
    assert old == new
