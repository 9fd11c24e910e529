"""What the dashboard's tests share."""

from __future__ import annotations

import pytest

from nsad_cli.dashboard.live import run_list


@pytest.fixture(autouse=True)
def _time_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the runs reads them all, however busy the machine is."""
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", 60.0)
