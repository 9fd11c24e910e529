"""A run's event log becomes series: by stage and name, whatever the log holds and however it grows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsad_cli.dashboard.event_log import EventLog
from nsad_cli.runs import Run


def line(stage: str = "nat", step: float = 1, total: float = 9, **metrics: Any) -> str:
    return json.dumps({"time": 1e9 + step, "stage": stage, "step": step, "total": total, "metrics": metrics}) + "\n"


def read(path: Path) -> EventLog:
    log = EventLog(path)
    log.poll(10)
    return log


def curve(log: EventLog, stage: str, metric: str) -> list[tuple[float, float]]:
    series = log.series(stage, metric)
    assert len(series.times) == len(series)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_what_a_run_emits_is_read_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.emit(
        "nat", 1, 2, loss=2.5, alpha={"layers.0.q": 0.1, "layers.0.v": -0.2}, gpus=[{"percent": None}, {"percent": 7}]
    )
    run.emit("nat", 2, 2, loss=float("nan"), alpha={"layers.0.q": 0.3, "layers.0.v": 0.0}, gpus=[{"percent": 1}, {}])
    run.emit("nat", 2, 2, held_out_loss=2.0, calibrated=True)
    log = read(tmp_path / "events.jsonl")
    assert log.stages == ["nat"] and log.latest == "nat" and log.notes == []
    assert log.metrics("nat") == [
        "loss", "alpha.layers.0.q", "alpha.layers.0.v", "gpus.0.percent", "gpus.1.percent", "held_out_loss"
    ]  # fmt: skip
    assert log.group("nat", "alpha") == ["alpha.layers.0.q", "alpha.layers.0.v"]
    loss = log.series("nat", "loss")
    assert loss.steps.tolist() == [1, 2] and loss.values[0] == 2.5 and np.isnan(loss.values[1])
    assert np.isnan(log.series("nat", "gpus.0.percent").values[0])
    assert curve(log, "nat", "gpus.1.percent") == [(1, 7)]
    assert curve(log, "nat", "held_out_loss") == [(2, 2.0)]
    assert log.last is not None and log.last.metrics == {"held_out_loss": 2.0, "calibrated": True}
    assert curve(log, "nat", "nothing") == [] and curve(log, "nce", "loss") == [] and log.metrics("nce") == []


def test_what_words_tell_apart_are_stages_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    evaluations = [("nat", "svamp"), ("nce", "svamp"), ("nce", "gsm8k:test")]
    path.write_text(
        "".join(line("eval", i, model=m, benchmark=b, tokens=i) for m, b in evaluations for i in range(1, 4))
    )
    log = read(path)
    assert log.stages == ["eval nat svamp", "eval nce svamp", "eval nce gsm8k:test"]
    assert all(len(log.series(stage, "tokens")) == 3 for stage in log.stages)
    assert log.last is not None and log.last.stage == "eval" and log.latest == "eval nce gsm8k:test"


def test_a_stage_that_was_resumed_goes_on_and_the_steps_done_twice_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first = [line(step=i, loss=float(i)) for i in range(1, 8)]
    first.insert(4, line(step=4, held_out_loss=4.5))
    first.append(line(step=7, held_out_loss=7.5))
    path.write_text("".join(first))
    log = read(path)
    log.series("nat", "loss")  # the array is made: what follows comes on top of it
    with path.open("a") as file:
        file.write(line(step=5, loss=50.0) + line(step=6, loss=60.0) + line("nce", 1, loss=1.0))
    log.poll()
    assert curve(log, "nat", "loss") == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 50), (6, 60)]
    assert curve(log, "nat", "held_out_loss") == [(4, 4.5)]
    with path.open("a") as file:
        file.write(line(step=1, loss=9.0))
    log.poll()
    assert curve(log, "nat", "loss") == [(1, 9)] and "held_out_loss" not in log.metrics("nat")
    assert curve(log, "nce", "loss") == [(1, 1)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.sampled_from(["loss", "held"]), st.integers(0, 99)),
        max_size=40,
    ),
    looks=st.sets(st.integers(0, 39)),
)
def test_steps_rise_and_the_last_word_on_each_counts(
    tmp_path: Path, events: list[tuple[str, int, str, int]], looks: set[int]
) -> None:
    path = tmp_path / "log"
    path.write_text("")
    log = EventLog(path)
    told: dict[tuple[str, str], dict[int, int]] = {}
    for place, (stage, step, name, value) in enumerate(events):
        with path.open("a") as file:
            file.write(line(stage, step, **{name: value}))
        own = [values for (other, _), values in told.items() if other == stage]
        if any(step < known for values in own for known in values):
            for values in own:
                for known in [known for known in values if known >= step]:
                    del values[known]
        told.setdefault((stage, name), {})[step] = value
        if place in looks:
            log.poll()
            for metric in log.metrics(stage):
                log.series(stage, metric)
    log.poll()
    for (stage, name), values in told.items():
        assert curve(log, stage, name) == sorted(values.items())


def test_what_cannot_be_read_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bad = [
        "{", "[]", "7", "null", '"text"', "{}", line()[:-9] + "\n", "\x00\x00", "nonsense",
        line(loss=1).replace('"nat"', "7"), line(loss=1).replace('"step": 1', '"step": "1"'),
        line(loss=1).replace('"step": 1', '"step": NaN'), line(loss=1).replace('"step": 1', '"step": null'),
        '{"time": 1, "stage": "a", "step": 1, "total": 1, "metrics": [1]}',
        line(loss=1).replace('"step": 1', f'"step": {10**400}'),
        "[" * 100_000, '{"a":' * 100_000,
    ]  # fmt: skip
    path.write_text("".join(text.rstrip("\n") + "\n" for text in [*bad, "", line(step=3, loss=1.0)]))
    with path.open("ab") as file:
        file.write(b"\xff\xfe broken\n" + line(step=4, loss=2.0).encode() + b'{"time": 1, "sta')
    log = read(path)
    assert log.stages == ["nat"] and curve(log, "nat", "loss") == [(3, 1.0), (4, 2.0)]
    assert log.notes == [f"{len(bad) + 1} lines of events.jsonl cannot be read"]


def test_infinite_numbers_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(line(loss=1).replace('"loss": 1', f'"loss": 1e999, "a": -Infinity, "b": NaN, "c": {10**400}'))
    log = read(path)
    assert all(np.isnan(log.series("nat", name).values[0]) for name in ("loss", "a", "b", "c"))


def test_a_log_that_is_cut_is_read_anew_and_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(line(step=i, loss=1.0) for i in range(9)))
    log = read(path)
    path.write_text(line("nce", 1, loss=2.0))
    assert log.poll()
    assert log.stages == ["nce"] and log.notes == ["events.jsonl was cut or replaced, and read anew"]
    path.unlink()
    assert not log.poll()
    assert log.stages == ["nce"] and log.notes[0] == "events.jsonl is gone; what it had is shown"


def test_a_long_log_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(line(step=i, loss=float(i)) for i in range(20_000)))
    log, polls = EventLog(path), 0
    sizes = []
    while True:
        assert log.poll(0.0)
        polls += 1
        sizes.append(len(log.series("nat", "loss")))
        if not log.pending:
            break
    assert polls > 5 and sizes == sorted(sizes) and sizes[0] > 0
    assert curve(log, "nat", "loss") == [(i, i) for i in range(20_000)]
    assert not log.poll()


def test_reading_a_log_needs_no_numpy() -> None:
    import subprocess

    script = (
        "import sys, tempfile, pathlib\n"
        "from nsad_cli.dashboard.event_log import EventLog\n"
        "from nsad_cli.runs import Run\n"
        "run = Run(pathlib.Path(tempfile.mkdtemp()))\n"
        "run.emit('nat', 2, 2, loss=1.0); run.emit('nat', 1, 2, loss=1.0)\n"
        "log = EventLog(run.path / 'events.jsonl'); log.poll()\n"
        "assert log.last.step == 1\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("step", [2.5, 10**15, -7])
def test_any_finite_step_is_a_step(tmp_path: Path, step: float) -> None:
    path = tmp_path / "log"
    path.write_text(line(step=step, loss=1.0))
    assert curve(read(path), "nat", "loss") == [(step, 1.0)]
