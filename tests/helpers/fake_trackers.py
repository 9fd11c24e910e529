"""Modules in place of the packages of trackers, which record how they are called."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


@dataclass
class FakeRun:
    """A tracker's run: what it was started with, what it was given, and how it was closed."""

    options: dict[str, Any]
    logged: list[tuple[dict[str, float], int | None]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    closed: list[Any] = field(default_factory=list)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.logged.append((dict(values), step))

    def define_metric(self, name: str, **options: Any) -> None:
        self.metrics[name] = options

    def finish(self, **options: Any) -> None:
        self.closed.append(options)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.logged.append(({name: value}, step))

    def close(self) -> None:
        self.closed.append({})

    def points(self, name: str) -> list[tuple[int | None, float]]:
        """The steps and values of a metric."""
        return [(step, values[name]) for values, step in self.logged if name in values]


def install_fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[FakeRun]]:
    """Replace the three packages by fakes; return the runs that each starts."""
    started: dict[str, list[FakeRun]] = {"tensorboard": [], "trackio": [], "wandb": []}

    def starter(name: str) -> Any:
        def start(*arguments: Any, **options: Any) -> FakeRun:
            print(f"{name} says something on stdout")
            started[name].append(FakeRun({**options, "arguments": arguments}))
            return started[name][-1]

        return start

    for name in started:
        module: Any = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.init = starter(name)
        module.Settings = dict
        module.finish = lambda name=name: started[name][-1].finish()
        monkeypatch.setitem(sys.modules, name, module)
    writer: Any = types.ModuleType("torch.utils.tensorboard")
    writer.SummaryWriter = starter("tensorboard")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", writer)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return started
