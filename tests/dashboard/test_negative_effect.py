"""The effect of negatives in the dashboard: in a run's description, and beside NAT's curves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard.live.event_log import EventLogReader
from nsad_cli.dashboard.live.metrics import charts, latest_value
from nsad_cli.dashboard.live.run_files import StageRecord
from nsad_cli.dashboard.screens.run_detail import stage_summary
from tests.helpers.run_folders import event, steps

if TYPE_CHECKING:
    from pathlib import Path


def summary(name: str, **result: Any) -> list[str]:
    return stage_summary(StageRecord(name, "finished", 0.0, 1.0, result, ""))


def test_it_is_a_line_of_the_stage_and_of_the_evaluation() -> None:
    assert summary("nat", held_out_loss=0.3, best_step=9, steps=9, negative_effect={"kl": 0.0003, "share": 0.01}) == [
        "held-out loss 0.300",
        "effect of negatives: KL 0.0003: none",
    ]
    row = {"benchmark": "b", "model": "nat", "rule": None, "accuracy": 0.5}
    lines = summary("eval", results=[row], negatives=[{"model": "nat\x1b[2J", "kl": 0.02}])
    assert lines == ["nat 50.0% greedy", "effect of negatives on nat\\x1b[2J: KL 0.0200: clear"]


@pytest.mark.parametrize("negatives", [None, 3, [None], [{"model": "nat"}], [{"kl": "many"}]])
def test_malformed_results_have_no_line(negatives: Any) -> None:
    assert summary("eval", negatives=negatives) == []
    assert summary("nat", held_out_loss=0.3, negative_effect=negatives)[0].startswith("held-out loss")


@pytest.mark.parametrize("checks", [(33,), (11, 22, 33)])
def test_the_curves_say_its_size_in_words(tmp_path: Path, checks: tuple[int, ...]) -> None:
    events = [*steps("negative", 9, 9, 1), *steps("nat", 33, 33, 1)]
    events += [
        event(0, "nat", step, 33, held_out_loss=1 / step, negative_effect={"kl": 0.01 / step, "share": 0.02})
        for step in checks
    ]
    log = EventLogReader(tmp_path / "events.jsonl")
    events.sort(key=lambda item: (item["stage"] == "nat", item["step"]))
    log.path.write_text("".join(json.dumps(item) + "\n" for item in events))
    log.poll()
    found = {chart.title: latest_value(log, "nat", chart) for chart in charts(log, "nat")}
    assert found["effect of negatives"] == "0.0003 none", "a single check counts too"
    assert "effect, share of output" in found
    assert "effect of negatives" not in {chart.title for chart in charts(log, "negative")}
