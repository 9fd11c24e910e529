"""A replaced base and a damaged adapter are noticed: nothing is believed by its name alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nsad_cli.errors import NsadError
from nsad_cli.inference.session import Session
from nsad_cli.models.base_fingerprint import BLOCK_BYTES, fingerprint
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.base_model import FILE, adapter_damage, base_key
from nsad_cli.runs.models import model_key
from nsad_cli.runs.run import Run
from tests.helpers.notes import recorded_notes
from tests.helpers.recorded_run import nsad, unpack
from tests.helpers.tiny_recipes import recipe
from tests.helpers.trained_weights import assert_same_weights

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ["collect", "grade", "negative", "nat"]


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, `base`, and a run trained on it, `runs/one`."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_llama, home / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSAD_HOME", str(home / "runs"))
        run_stages(Run.create("one", recipe(home / "base")), STAGES)
    return home


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run, which has a base of its own."""
    home = Path(shutil.copytree(trained, tmp_path / "home"))
    monkeypatch.setenv("NSAD_HOME", str(home / "runs"))
    copied = Run.open("one")
    text = (copied.path / "recipe.yaml").read_text().replace(str(trained / "base"), str(home / "base"))
    (copied.path / "recipe.yaml").write_text(text)
    return copied


def replace_base(run: Run) -> None:
    """Other weights at the same path, with the same times."""
    path = run.path.parents[1] / "base" / "model.safetensors"
    weights = load_file(path)
    weights = {name: value + 0.01 for name, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})


def states(run: Run) -> dict[str, Any]:
    return {name: (state["key"], state["ended"]) for name, state in run.stages().items()}


def test_the_same_base_elsewhere_changes_nothing(run: Run) -> None:
    before = states(run)
    run_stages(run, STAGES)
    assert states(run) == before
    assert json.loads((run.path / FILE).read_text()).popitem()[1]["adopted"] is False


def test_a_replaced_base_makes_every_stage_stale(run: Run) -> None:
    before, keys = states(run), [model_key(run, run.recipe, "base")]
    replace_base(run)
    keys.append(model_key(run, run.recipe, "base"))
    assert len(set(keys)) == 2, "its chains are stored under another key"
    with pytest.raises(NsadError, match="is not the one that nat was trained on"):
        Session(run).load("nat")
    run_stages(run, STAGES)
    after = states(run)
    assert after["collect"] == before["collect"]
    assert after["negative"] != before["negative"]
    assert after["nat"] != before["nat"]
    Session(run).load("nat")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)


def spoil(path: Path) -> None:
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, path)


@pytest.mark.parametrize("harm", [flip, spoil, Path.unlink, lambda path: shutil.rmtree(path.parent)])
@pytest.mark.parametrize("name", ["negative", "nat"])
def test_a_damaged_adapter_is_refused_and_trained_again(
    trained: Path, run: Run, harm: Callable[[Path], None], name: str
) -> None:
    harm(run.adapter_path(name) / "adapter_model.safetensors")
    with pytest.raises(NsadError, match=f"the {name} adapter is damaged"):
        Session(run).load("nat")
    notes = recorded_notes()
    run_stages(run, STAGES)
    assert any(note.startswith(f"{name}: ") and "trained again" in note for note in notes)
    assert_same_weights(Run(trained / "runs" / "one"), run)


def test_a_missing_configuration_is_noticed(run: Run) -> None:
    (run.adapter_path("nat") / "adapter_config.json").unlink()
    assert "missing or have changed" in adapter_damage(run, "nat")


def test_weights_that_are_not_finite_are_refused_even_with_their_digest(run: Run) -> None:
    from nsad_cli.models.nat.adapter_files import load_adapter

    spoil(run.adapter_path("negative") / "adapter_model.safetensors")
    with pytest.raises(NsadError, match="cannot be used") as error:
        load_adapter(Session(run).adapters, "negative", run.adapter_path("negative"))
    assert "not numbers" in error.value.why


def test_a_run_of_an_earlier_version_adopts_its_base_and_trains_nothing_again(tmp_path: Path) -> None:
    home = unpack(tmp_path)
    before = json.loads((home / "runs/recorded/manifest.json").read_text())["stages"]
    arguments = ("train-nat", "--run", "recorded")
    _, notes = nsad(home, *arguments)
    assert notes.count("made by an earlier version") == 1
    assert "nat: already done" in notes
    assert json.loads((home / "runs/recorded/manifest.json").read_text())["stages"] == before
    _, again = nsad(home, *arguments)
    assert "made by an earlier version" not in again
    weights = home / "student" / "model.safetensors"
    save_file({name: value + 0.01 for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    _, changed = nsad(home, *arguments)
    assert "already done" not in changed


def test_the_fingerprint_depends_on_content_alone(tmp_path: Path) -> None:
    weights = {"a": torch.arange(3 * BLOCK_BYTES, dtype=torch.float32)}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_file(weights, tmp_path / name / "model.safetensors")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two") != None  # noqa: E711
    weights["a"][0] = 1
    save_file(weights, tmp_path / "two" / "model.safetensors")
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "two")
    assert fingerprint(tmp_path) is None


def test_the_key_of_a_base_that_is_not_at_hand_is_the_recorded_one(run: Run) -> None:
    key = base_key(run, run.recipe)
    assert key != run.recipe.student.model
    shutil.rmtree(run.path.parents[1] / "base")
    assert base_key(run, run.recipe) == key
