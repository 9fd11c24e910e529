"""Measured speeds are remembered per machine and settings, and measured again when they are old or damaged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.pipeline.known_speeds import FILE, known_speeds, remember_speeds, speeds_key
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.pipeline.throughput import Speeds
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

SPEEDS = Speeds(lora=1.0, nat=2.0, nce=3.0, forward=4.0, sampling=5.0, seconds=6.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NSAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_they_are_found_again_with_their_date() -> None:
    cpu = torch.device("cpu")
    key, other = speeds_key(cpu, "base", "bfloat16"), speeds_key(cpu, "base", "float32")
    remember_speeds(key, SPEEDS)
    remember_speeds(other, SPEEDS)
    assert known_speeds(key) == (SPEEDS, time.strftime("%Y-%m-%d"))
    assert known_speeds("unknown") is None


@pytest.mark.parametrize(
    "change",
    [{"date": "2020-01-01"}, {"date": "2999-01-01"}, {"date": 3}, {"speeds": {"lora": 1}}, {"speeds": None}],
)
def test_old_and_damaged_ones_are_forgotten(change: dict[str, Any], cache: Path) -> None:
    remember_speeds("key", SPEEDS)
    content = json.loads((cache / FILE).read_text())
    (cache / FILE).write_text(json.dumps({"key": {**content["key"], **change}}))
    assert known_speeds("key") is None


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"key": 1}'])
def test_a_damaged_file_is_replaced(text: str, cache: Path) -> None:
    cache.mkdir()
    (cache / FILE).write_text(text)
    assert known_speeds("key") is None
    remember_speeds("key", SPEEDS)
    assert known_speeds("key") is not None


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("a file")
    remember_speeds("key", SPEEDS)
    assert known_speeds("key") is None


def test_a_second_plan_does_not_measure_again(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_plan("one", recipe(tiny_llama))
    monkeypatch.setattr("nsad_cli.pipeline.throughput.probe", None)
    second = make_plan("one", recipe(tiny_llama))
    today = time.strftime("%Y-%m-%d")
    assert any("s of steps on this machine" in note for note in first.notes)
    assert any(f"measured on {today} (" in note for note in second.notes)
    assert [stage.seconds for stage in first.stages] == [stage.seconds for stage in second.stages]
