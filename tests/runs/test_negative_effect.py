"""The effect of negatives that a run has measured: from its evaluation, its stages, or its event log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.models.nat.effect_size import describe_effect, effect_size, short_effect
from nsad_cli.runs.negative_effect import checked_effect, measured_effects
from nsad_cli.runs.run import Run
from tests.helpers.run_folders import event, finished, make_run

if TYPE_CHECKING:
    from pathlib import Path

ROW = {"benchmark": "arithmetic:test", "model": "nat", "n": 32, "kl": 0.00031, "share": 0.012}


def check(step: int, kl: float, stage: str = "nat") -> dict[str, Any]:
    return event(10, stage, step, 30, held_out_loss=0.5, negative_effect={"kl": kl, "share": 0.01})


def effects(home: Path, stages: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return measured_effects(Run(make_run(home, "a", stages, events)))


def test_the_evaluation_goes_first(tmp_path: Path) -> None:
    stages = {"nat": finished(90, 9, best_step=20), "eval": finished(50, 5, negatives=[ROW])}
    (row,) = effects(tmp_path, stages, [check(20, 0.5)])
    assert row == {
        "model": "nat",
        "on": "arithmetic:test, 32 greedy chains",
        "kl": 0.00031,
        "share": 0.012,
        "summary": "KL 0.0003 nats a token, 1% of the unit's output: none",
    }


def test_before_it_the_check_of_the_weights_that_are_used(tmp_path: Path) -> None:
    (row,) = effects(tmp_path, {"nat": finished(90, 9, best_step=20)}, [check(10, 0.1), check(20, 0.005), check(30, 1)])
    assert (row["model"], row["on"], row["kl"]) == ("nat", "held-out rationales", 0.005)
    assert row["summary"].endswith(": small")


def test_a_copied_stage_has_it_in_its_result(tmp_path: Path) -> None:
    copied = finished(90, 9, best_step=20, negative_effect={"kl": 0.02, "share": 0.1})
    (row,) = effects(tmp_path, {"nat": copied}, [])
    assert row["kl"] == 0.02


def test_a_stage_that_was_trained_again_replaces_its_checks(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    lines = [check(10, 1.0), check(20, 2.0), check(5, 0.25), check(15, 0.125), check(15, 9.0, "nat-control")]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"negative_effect"\n')
    assert checked_effect(log, "nat", None) == {"kl": 0.125, "share": 0.01}
    assert checked_effect(log, "nat", 5) == {"kl": 0.25, "share": 0.01}
    assert checked_effect(log, "nat", 20) == {"kl": 0.125, "share": 0.01}, "the old training's check is gone"
    assert checked_effect(log, "nce", None) is None
    assert checked_effect(tmp_path / "none.jsonl", "nat", None) is None


@pytest.mark.parametrize("negatives", [None, "x", [1], [{"kl": None}], [{"kl": "0"}], [{"kl": float("nan")}]])
def test_malformed_rows_are_left_out(tmp_path: Path, negatives: Any) -> None:
    assert effects(tmp_path, {"eval": finished(50, 5, negatives=negatives)}, []) == []


def test_the_size_in_words() -> None:
    assert [effect_size(kl) for kl in (0.0, 0.00099, 0.001, 0.0099, 0.01)] == [
        "none",
        "none",
        "small",
        "small",
        "clear",
    ]
    assert short_effect(0.0003) == "KL 0.0003: none"
    assert describe_effect(0.02, None) == "KL 0.0200 nats a token: clear"
