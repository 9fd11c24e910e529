"""`nsad run --plan` as its users meet it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from nsad_cli.cli.render.plan import duration, short, show_plan
from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.pipeline.plan import Plan
from nsad_cli.pipeline.plan_draft import StagePlan
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    "stage",
    "state",
    "samples",
    "tokens",
    "lora_parameters",
    "unit_parameters",
    "memory_gib",
    "seconds",
    "calls",
    "cost",
}


def test_a_plan_makes_no_run_and_prints_one_json_object(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe(tiny_llama).model_dump(mode="json")))
    result = run_nsad(tmp_path, "run", "tiny.yaml", "--plan", "--json")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["run"] == "tiny"
    assert [stage["stage"] for stage in value["stages"]] == list(RUN_ORDER)
    assert all(set(stage) >= KEYS and stage["state"] == "to do" for stage in value["stages"])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".cache"], "the machine's speeds alone"
    table = run_nsad(tmp_path, "run", "tiny.yaml", "--plan", "--set", "seed=1", NO_COLOR="1", COLUMNS="80")
    assert table.returncode == 0
    assert "Plan of run tiny" in table.stdout
    assert "\x1b" not in table.stdout
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".cache"], "the machine's speeds alone"
    failure(run_nsad(tmp_path, "run", "tiny.yaml", "--plan", "--run", "a/b"), 2)


def test_a_profile_is_chosen_and_needs_a_plan(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe(tiny_llama).model_dump(mode="json")))
    value = json.loads(run_nsad(tmp_path, "run", "tiny.yaml", "--plan", "--device-profile", "h200", "--json").stdout)
    assert any("H200" in note and "not measured" in note for note in value["notes"])
    assert value["total"]["seconds"] == pytest.approx(sum(stage["seconds"] for stage in value["stages"]))
    assert value["total"]["steps"] == sum(stage["steps"] or 0 for stage in value["stages"]) > 0
    assert not (tmp_path / ".cache" / "nsad" / "speeds.json").exists(), "nothing is measured"
    assert "--plan" in "".join(failure(run_nsad(tmp_path, "run", "tiny.yaml", "--device-profile", "h200"), 2))
    assert "rtx4090" in "".join(failure(run_nsad(tmp_path, "run", "tiny.yaml", "--plan", "--device-profile", "t4"), 2))


def test_the_largest_numbers_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stages = [
        StagePlan("collect", "to do", 100_000, 123_456_789, seconds=None, calls=100_000, cost=None),
        StagePlan("eval-before", "to do", 99_999, 999_949, 0, 0, 103.44, 5401.0, estimated=("samples", "tokens")),
        StagePlan("nat", "to do", 99_999, 6_740_000_000, 39_976_960, 135_000_000, 103.44, 33 * 86400.0),
        StagePlan(
            "nce",
            "to do",
            99_999,
            99_999,
            4_194_304,
            0,
            13.2,
            90.0,
            steps=1_000_000,
            own_samples=100_000,
            own_tokens=123_456_789,
            own_seconds=50.0,
        ),
        StagePlan("ranker", "done", 12, 345, 4_194_304, 0, 13.2, 0.0, steps=3),
    ]
    show_plan(Plan("a-long-name-of-a-run", tuple(stages), ()), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    text = "\n".join(lines)
    assert "unknown" in text
    assert "6.74B" in text
    assert "135M" in text
    assert "done" in text
    assert "~33 d" in text
    total = next(line for line in lines if "remaining" in line)
    assert total.split()[1:] == ["1.00M", "6.99B", "unknown", "100k", "unknown"]
    chains = next(line for line in lines if "nce chains" in line)
    assert chains.split()[2:] == ["~100k", "–", "~123M", "–", "–", "–", "~50", "s", "–", "–"]
    nce = next(line for line in lines if "nce  " in line)
    assert "~40 s" in nce, "without its chains"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (1500, "1.50k"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (999_949, "1.00M"),
        (2_442_240, "2.44M"),
    ],
)
def test_short_numbers(number: int, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0.2, "~0 s"), (61, "~61 s"), (720, "~12 min"), (9000, "~2.5 h"), (400_000, "~5 d")],
)
def test_rough_times(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
