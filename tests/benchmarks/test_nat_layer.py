"""The measurement runs and keeps its contract; what it measures is asserted nowhere, except bytes: they never vary."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import torch

from tests.benchmarks import nat_layer

if TYPE_CHECKING:
    import pytest


def test_the_report_keeps_its_contract(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(nat_layer, "SHAPES", {"tiny": (512, 128, 64, 0.7)})
    monkeypatch.setattr(sys, "argv", ["nat_layer", "--json", "--rounds", "1", "--layers-only"])
    nat_layer.main()
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"figures", "conditions"}
    assert all(set(figure) == {"value", "goal", "met"} for figure in report["figures"].values())
    assert report["figures"]["saved_activations_tiny"]["met"] is True
    assert "saved_activations_tiny" in nat_layer.table(report)


def test_a_layer_keeps_its_input_its_output_and_little_more() -> None:
    tokens, d_in, d_out, size, r = 4096, 128, 64, 128, 8
    device = torch.device("cpu")
    saved = nat_layer.measure_layer((tokens, d_in, d_out), 1, 0.0, device)["saved_bytes"]
    per_token = d_in + d_out + size + 4 * r + 1
    assert per_token * tokens * 4 <= saved["ours"] <= 1.05 * per_token * tokens * 4
