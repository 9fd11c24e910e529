"""A run's event log becomes series: by stage and name, whatever the log holds and however it grows."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsad_cli.dashboard.live.event_log import NOTE_SECONDS, EventLogReader
from nsad_cli.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def line(stage: str = "nat", step: float = 1, total: float = 9, **metrics: Any) -> str:
    return json.dumps({"time": 1e9 + step, "stage": stage, "step": step, "total": total, "metrics": metrics}) + "\n"


def read(path: Path) -> EventLogReader:
    log = EventLogReader(path)
    log.poll(10)
    return log


def curve(log: EventLogReader, stage: str, metric: str) -> list[tuple[float, float]]:
    series = log.series(stage, metric)
    assert len(series.times) == len(series)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_what_a_run_emits_is_read_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.events.emit(
        "nat", 1, 2, loss=2.5, alpha={"layers.0.q": 0.1, "layers.0.v": -0.2}, gpus=[{"percent": None}, {"percent": 7}]
    )
    run.events.emit(
        "nat", 2, 2, loss=float("nan"), alpha={"layers.0.q": 0.3, "layers.0.v": 0.0}, gpus=[{"percent": 1}, {}]
    )
    run.events.emit("nat", 2, 2, held_out_loss=2.0, calibrated=True)
    log = read(tmp_path / "events.jsonl")
    assert log.stages == ["nat"]
    assert log.latest_stage == "nat"
    assert log.notes == []
    assert log.metrics("nat") == [
        "loss", "alpha.layers.0.q", "alpha.layers.0.v", "gpus.0.percent", "gpus.1.percent", "held_out_loss"
    ]  # fmt: skip
    assert log.group("nat", "alpha") == ["alpha.layers.0.q", "alpha.layers.0.v"]
    loss = log.series("nat", "loss")
    assert loss.steps.tolist() == [1, 2]
    assert loss.values[0] == 2.5
    assert np.isnan(loss.values[1])
    assert np.isnan(log.series("nat", "gpus.0.percent").values[0])
    assert curve(log, "nat", "gpus.1.percent") == [(1, 7)]
    assert curve(log, "nat", "held_out_loss") == [(2, 2.0)]
    assert log.last is not None
    assert log.last.metrics == {"held_out_loss": 2.0, "calibrated": True}
    assert curve(log, "nat", "nothing") == []
    assert curve(log, "nce", "loss") == []
    assert log.metrics("nce") == []


def test_what_words_tell_apart_are_stages_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    evaluations = [("nat", "svamp"), ("nce", "svamp"), ("nce", "gsm8k:test")]
    path.write_text(
        "".join(line("eval", i, model=m, benchmark=b, tokens=i) for m, b in evaluations for i in range(1, 4))
    )
    log = read(path)
    assert log.stages == ["eval nat svamp", "eval nce svamp", "eval nce gsm8k:test"]
    assert all(len(log.series(stage, "tokens")) == 3 for stage in log.stages)
    assert log.last is not None
    assert log.last.stage == "eval"
    assert log.latest_stage == "eval nce gsm8k:test"


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
    assert curve(log, "nat", "loss") == [(1, 9)]
    assert "held_out_loss" not in log.metrics("nat")
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
    log = EventLogReader(path)
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
    assert log.stages == ["nat"]
    assert curve(log, "nat", "loss") == [(3, 1.0), (4, 2.0)]
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
    assert log.stages == ["nce"]
    assert log.notes == ["events.jsonl was truncated or replaced, and read again"]
    path.unlink()
    assert not log.poll()
    assert log.stages == ["nce"]
    assert log.notes[0] == "events.jsonl was deleted; the data read before is shown"


ANEW, GONE, GONE_SHOWN = (
    "was truncated or replaced, and read again",
    "was deleted",
    "was deleted; the data read before is shown",
)


def replaced(path: Path, *texts: str) -> None:
    """Another file takes the name, as a rotation does it; and another one."""
    for text in texts:
        other = path.with_name("other")
        other.write_text(text)
        other.rename(path)


SEQUENCES: dict[str, list[tuple[Callable[[Path, str], object], str | None]]] = {
    "cut to nothing, then deleted": [
        (lambda path, _: path.write_text(""), ANEW),
        (lambda path, _: path.unlink(), GONE),
    ],
    "deleted, then back with other lines": [
        (lambda path, _: path.unlink(), GONE_SHOWN),
        (lambda path, _: path.write_text(line(step=1, loss=7.0)), ANEW),
    ],
    "moved away and back": [
        (lambda path, _: path.rename(path.with_name("away")), GONE_SHOWN),
        (lambda path, _: path.with_name("away").rename(path), None),
    ],
    "replaced by a shorter one": [(lambda path, had: replaced(path, had[: len(had) // 2]), ANEW)],
    "replaced by one that begins alike": [(lambda path, had: replaced(path, had + line(step=99, loss=9.0)), ANEW)],
    "replaced by one that begins alike, in place": [
        (lambda path, had: path.write_text(had + line(step=99, loss=9.0)), None)
    ],
    "rotated twice at once": [(lambda path, had: replaced(path, "old", line(step=5, loss=5.0) + had), ANEW)],
    "rotated twice": [
        (lambda path, _: replaced(path, line(step=5, loss=5.0)), ANEW),
        (replaced, ANEW),
    ],
    "cut to nothing, then written again": [
        (lambda path, _: path.write_text(""), ANEW),
        (lambda path, had: path.write_text(had), ANEW),
    ],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_each_thing_that_becomes_of_a_log_is_told_in_the_right_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / "events.jsonl"
    had = "".join(line(step=i, loss=i / 7) for i in range(20))
    path.write_text(had)
    now = 100.0
    log = EventLogReader(path, clock=lambda: now)
    log.poll()
    before = curve(log, "nat", "loss")
    for does, told in SEQUENCES[name]:
        does(path, had)
        log.poll()
        words = [] if told is None else [told] if told in (ANEW, GONE_SHOWN) else [told, ANEW]
        assert log.notes == [f"{path.name} {note}" for note in words]
        expected = curve(read(path), "nat", "loss") if path.exists() else before
        assert curve(log, "nat", "loss") == expected or told == GONE
    now += NOTE_SECONDS
    lasting = [f"{path.name} {told}" for _, told in SEQUENCES[name][-1:] if told in (GONE, GONE_SHOWN)]
    assert log.notes == lasting  # that it was read anew is no news any more


def test_that_a_log_was_read_anew_is_told_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line(step=1, loss=1.0) * 2)
    now = 0.0
    log = EventLogReader(path, clock=lambda: now)
    log.poll()
    assert log.notes == []
    for _ in range(2):  # each time anew
        replaced(path, line(step=1, loss=2.0))
        log.poll()
        now += NOTE_SECONDS - 1
        log.poll()
        assert log.notes == [f"events.jsonl {ANEW}"]
        now += 1
        assert log.notes == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["append", "append", "half", "empty", "cut", "replace", "alike", "delete"]),
            st.integers(0, 5),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_whatever_becomes_of_a_log_the_curve_is_that_of_the_file(
    tmp_path: Path, deeds: list[tuple[str, int, bool]]
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("")
    log, number = EventLogReader(path), 0
    for deed, size, looks in deeds:
        text = path.read_text() if path.exists() else ""
        new = "".join(line(step=number + i, loss=number + i / 8) for i in range(1, size + 1))
        number += size
        if deed in ("append", "half"):
            whole = text + new if text.endswith("\n") or not text else f"{text}\n{new}"
            path.write_text(whole[:-9] if deed == "half" and new else whole)
        elif deed == "empty":
            path.write_text("")
        elif deed == "cut":
            path.write_text("".join(text.splitlines(keepends=True)[:size]))
        elif deed == "delete":
            path.unlink(missing_ok=True)
        else:
            replaced(path, new if deed == "replace" else text + new)
        if looks:
            log.poll(10)
            if path.exists():
                assert curve(log, "nat", "loss") == curve(read(path), "nat", "loss")
                assert not any("deleted" in note or "not exist" in note for note in log.notes)
            else:
                assert "deleted" in log.notes[0] or "does not exist yet" in log.notes[0]


def test_a_long_log_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(line(step=i, loss=float(i)) for i in range(20_000)))
    log, polls = EventLogReader(path), 0
    sizes = []
    while True:
        assert log.poll(0.0)
        polls += 1
        sizes.append(len(log.series("nat", "loss")))
        if not log.pending:
            break
    assert polls > 5
    assert sizes == sorted(sizes)
    assert sizes[0] > 0
    assert curve(log, "nat", "loss") == [(i, i) for i in range(20_000)]
    assert not log.poll()


def test_reading_a_log_needs_no_numpy() -> None:
    import subprocess

    script = (
        "import sys, tempfile, pathlib\n"
        "from nsad_cli.dashboard.live.event_log import EventLogReader\n"
        "from nsad_cli.runs.run import Run\n"
        "run = Run(pathlib.Path(tempfile.mkdtemp()))\n"
        "run.events.emit('nat', 2, 2, loss=1.0); run.events.emit('nat', 1, 2, loss=1.0)\n"
        "log = EventLogReader(run.path / 'events.jsonl'); log.poll()\n"
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
