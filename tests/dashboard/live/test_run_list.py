"""Runs at a glance, on folders of every kind."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.dashboard.live import run_files, run_list
from nsad_cli.dashboard.live.run_files import RunFiles
from nsad_cli.dashboard.live.run_list import RunList
from nsad_cli.dashboard.live.run_status import PACE_EVENTS, RunRow
from nsad_cli.dashboard.live.run_status import run_row as row_made_of
from nsad_cli.runs.run import Run, chosen_run, runs_home
from tests.helpers.run_folders import collected, evaluated, event, make_run, make_runs, stage, steps, trained
from tests.helpers.screens import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home() -> Iterator[Path]:
    """A run of every kind; those that say so are being written to."""
    home = runs_home()
    make_runs(home)
    with ExitStack() as until_the_end:
        for name in ("training", "quiet"):
            until_the_end.enter_context(Run(home / name).lock())
        yield home


def rows_of(home: Path, now: float = NOW) -> dict[str, RunRow]:
    return {row.name: row for row in RunList(home).refresh(now)}


def run_row(home: Path, now: float = NOW, *, busy: bool = False) -> RunRow:
    """The only run of a folder, while a process writes to it or not."""
    (folder,) = home.iterdir()
    if not busy:
        return rows_of(home, now)[folder.name]
    with Run(folder).lock():
        return rows_of(home, now)[folder.name]


def headline(row: RunRow) -> str:
    return f"{row.headline.text} {row.headline.kind} {row.headline.of}" if row.headline else ""


# --- states -----------------------------------------------------------------------------------------------------------


def test_every_state_is_told_the_newest_first(home: Path) -> None:
    rows = RunList(home).refresh(NOW)
    assert [(row.name, row.state, row.stage) for row in rows] == [
        ("training", "running", "nat"),
        ("quiet", "stalled", "nat"),
        ("whole-method-on-smollm2", "finished", "eval"),
        ("diverged", "failed", "nce"),
        ("ctrl-c", "interrupted", "nat"),
        ("killed", "stopped", "nat"),
        ("new", "empty", ""),
        ("older", "unreadable", ""),
        ("damaged", "unreadable", ""),
    ]
    by_name = {row.name: row for row in rows}
    assert "has format 1" in by_name["older"].why
    assert by_name["damaged"].why.startswith("cannot be read: manifest.json: ")
    assert "not finite" in by_name["diverged"].why


def test_the_chosen_run_is_marked(home: Path) -> None:
    assert [name for name, row in rows_of(home).items() if row.chosen] == ["whole-method-on-smollm2"]
    chosen = chosen_run()
    assert chosen is not None
    assert chosen.name == "whole-method-on-smollm2"


def test_progress_and_time_left_follow_the_pace_of_the_last_steps(home: Path) -> None:
    row = rows_of(home)["training"]
    assert (row.step, row.total) == (12, 33)
    # 11 steps in 111 s (the measurement after the last one included); 3 s have passed since.
    assert row.seconds_left == pytest.approx(21 * 111 / 11 - 3)
    assert row.idle_seconds == pytest.approx(3)


def test_a_resumed_stage_takes_no_pace_from_before_the_interruption(tmp_path: Path) -> None:
    home = tmp_path / "r"
    events = [*steps("nat", 12, 33, 10, 5000), *[event(20 - i, "nat", 12 + i, 33, loss=1) for i in (0, 10)]]
    make_run(home, "a", {"nat": stage("running", 60, 0)}, events)
    row = run_row(home, busy=True)
    assert row.state == "running"
    assert row.seconds_left == pytest.approx((33 - 22) * 1.0 - 10)
    (home / "a" / "events.jsonl").write_text("".join(json.dumps(item) + "\n" for item in events[:12]))
    row = run_row(home, busy=True)
    assert (row.state, row.step, row.seconds_left) == ("running", None, None), (
        "what an earlier go told says nothing of this one"
    )


def test_each_part_of_an_evaluation_has_a_pace_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "r"
    events = [
        *[event(100 - i, "eval", i, 50, model="nat", benchmark="b") for i in range(1, 51)],
        *[event(40 - 10 * i, "eval", i, 50, model="nce", benchmark="b") for i in range(1, 4)],
    ]
    make_run(home, "a", {"eval": stage("running", 150, 0)}, events)
    row = run_row(home, busy=True)
    assert (row.stage, row.part, row.step) == ("eval", "nce b", 3)
    assert row.seconds_left == pytest.approx(47 * 10 - 10)


def test_sampling_for_the_ranker_is_a_part_of_its_stage(tmp_path: Path) -> None:
    home = tmp_path / "r"
    make_run(home, "a", {**trained(), "ranker": stage("running", 90, 0)}, [event(5, "ranker-chains", 40, 256)])
    assert (run_row(home, busy=True).stage, run_row(home, busy=True).step) == ("ranker-chains", 40)


def test_an_evaluation_by_its_own_command_is_seen_though_the_manifest_has_no_stage_of_it(tmp_path: Path) -> None:
    home = tmp_path / "r"
    make_run(home, "a", trained(), [event(5, "eval", 9, 50, model="nce", benchmark="b")])
    assert (run_row(home, busy=True).state, run_row(home, busy=True).stage) == ("running", "eval")
    assert (run_row(home).state, run_row(home).stage) == ("finished", "nce")


def test_a_run_has_stalled_by_its_own_pace_and_never_before_two_minutes(tmp_path: Path) -> None:
    home = tmp_path / "r"
    make_run(home, "a", {"nat": stage("running", 5000, 0)}, steps("nat", 12, 33, 60, 200))
    assert run_row(home, busy=True).state == "running", "an event a minute, so 200 s of silence are nothing"
    assert run_row(home, NOW + 110, busy=True).state == "stalled"
    shutil.rmtree(home)
    make_run(home, "a", {"nat": stage("running", 5000, 0)}, steps("nat", 12, 33, 1, 100))
    assert run_row(home, busy=True).state == "running"
    assert run_row(home, NOW + 30, busy=True).state == "stalled"


def test_a_night_between_two_evaluations_is_no_pace(tmp_path: Path) -> None:
    """`nsad eval` leaves no stage in the manifest: 20 problems of 10 s each, a night, five more."""
    home = tmp_path / "r"
    ago = [8 * 3600 + 10 * i for i in range(20, 0, -1)] + [50, 40, 30, 20, 10]
    events = [event(seconds, "eval", i, 100, model="nce", benchmark="b") for i, seconds in enumerate(ago, 1)]
    make_run(home, "a", {"nce": stage("finished", 40_000, 9)}, events)
    row = run_row(home, busy=True)
    assert row.state == "running"
    assert row.seconds_left == pytest.approx(75 * 10 - 10)
    assert run_row(home, NOW + 600, busy=True).state == "stalled"


def test_a_stage_may_load_for_ten_minutes_before_its_first_event(tmp_path: Path) -> None:
    home = tmp_path / "r"
    make_run(home, "a", {"nat": stage("running", 500, 0)})
    assert run_row(home, busy=True).state == "running"
    assert run_row(home, NOW + 200, busy=True).state == "stalled"


# --- headlines --------------------------------------------------------------------------------------------------------


def test_the_headline_is_the_students_accuracy_by_the_rule_that_answers(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "a", {**trained(), "eval": evaluated(100, 50)})
    assert headline(run_row(tmp_path / "r")) == "52.0% accuracy nce, asc, arithmetic:test"


def test_without_accuracy_it_is_the_stages_held_out_loss_else_its_loss(home: Path) -> None:
    rows = rows_of(home)
    assert headline(rows["training"]) == "0.310 held-out loss nat"
    assert headline(rows["quiet"]) == "0.200 loss nat"
    assert headline(rows["diverged"]) == "0.065 held-out loss nat", "nce logged nothing, so the latest stage that did"
    assert headline(rows["new"]) == ""


def test_a_loss_that_is_not_finite_is_shown_as_such(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "a", {"nat": stage("failed", 90, 0)}, [event(5, "nat", 3, 9, loss=None)])
    assert headline(run_row(tmp_path / "r")) == "NaN loss nat"


def test_the_bases_accuracy_counts_last(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "a", {**collected(), "eval-before": evaluated(100, 50, "base")})
    assert headline(run_row(tmp_path / "r")) == "52.0% accuracy base, asc, arithmetic:test"
    make_run(tmp_path / "r", "b", {**trained(), "eval-before": evaluated(3950, 50, "base")})
    assert headline(rows_of(tmp_path / "r")["b"]) == "0.070 held-out loss nce"


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"format": 2}',
        '{"format": 2, "stages": []}',
        '{"format": 2, "stages": {"nat": 3}, "created": 1, "versions": {}}',
        '{"format": 2, "stages": {"nat": {"state": "x", "started": "y"}}, "created": 1, "versions": {}}',
        '{"format": 2, "stages": {}, "created": null, "versions": {}}',
        '{"format": 2, "stages": {}, "created": 1, "versions": null}',
        '{"format": 1, "versions": 3}',
        "[" * 100_000,
    ],
)
def test_a_damaged_manifest_is_a_row_that_says_so(tmp_path: Path, text: str) -> None:
    folder = make_run(tmp_path / "r", "a", collected())
    runs = RunList(tmp_path / "r")
    (folder / "manifest.json").write_text(text)
    (row,) = runs.refresh(NOW)
    assert row.state == "unreadable"
    assert row.why
    shutil.rmtree(folder)
    make_run(tmp_path / "r", "a", collected())
    (row,) = runs.refresh(NOW)
    assert row.state == "finished"
    assert not row.why


def test_a_manifest_that_is_no_text_is_a_row_that_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", "a", {})
    (folder / "manifest.json").write_bytes(b"\xff\xfe\x00")
    assert run_row(tmp_path / "r").state == "unreadable"


def test_control_characters_of_a_manifest_are_shown_not_obeyed(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "a", {"nat": stage("failed", 10, 1, error="bad \x1b[2J thing")})
    assert run_row(tmp_path / "r").why == "bad \\x1b[2J thing"


def test_a_folder_that_vanishes_stays_as_gone_and_may_come_back(tmp_path: Path) -> None:
    home = tmp_path / "r"
    folder = make_run(home, "a", collected())
    runs = RunList(home)
    assert [row.state for row in runs.refresh(NOW)] == ["finished"]
    kept = folder.rename(tmp_path / "kept")
    (row,) = runs.refresh(NOW)
    assert (row.state, row.why) == ("gone", "its folder was deleted")
    kept.rename(folder)
    (row,) = runs.refresh(NOW)
    assert (row.state, row.why) == ("finished", "")
    (folder / "manifest.json").unlink()
    assert [row.why for row in runs.refresh(NOW)] == ["its manifest.json was deleted"]
    shutil.rmtree(home)
    assert [row.state for row in runs.refresh(NOW)] == ["gone"]


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "r" / "notes").mkdir(parents=True)
    (tmp_path / "r" / "file").write_text("x")
    assert RunList(tmp_path / "r").refresh(NOW) == []
    assert RunList(tmp_path / "nowhere").refresh(NOW) == []


@given(st.binary(max_size=400))
def test_no_bytes_in_an_event_log_are_too_much(raw: bytes) -> None:
    assert all(isinstance(run_files._event(line), run_files.EventRecord | None) for line in raw.split(b"\n"))


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "3",
        '{"time": 1}',
        '{"time": NaN, "stage": "nat", "step": 1, "total": 2, "metrics": []}',
        '{"time": "x", "stage": "nat", "step": 1, "total": 2, "metrics": {}}',
        '{"time": 1, "stage": "nat", "step": null, "total": 2, "metrics": {}}',
        '{"time": 1, "stage": "nat", "step": 1e999, "total": 2, "metrics": {}}',
    ],
)
def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path, line: str) -> None:
    folder = make_run(tmp_path / "r", "a", {"nat": stage("interrupted", 500, 1)}, [event(9, "nat", 4, 33, loss=1)])
    with (folder / "events.jsonl").open("a") as file:
        file.write(line)
    assert run_row(tmp_path / "r").step == 4


def test_an_event_log_that_is_cut_or_replaced_is_read_anew(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", "a", {"nat": stage("interrupted", 500, 1)}, steps("nat", 9, 33, 1, 9))
    runs = RunList(tmp_path / "r")
    assert runs.refresh(NOW)[0].step == 9
    (folder / "events.jsonl").write_text("")
    assert runs.refresh(NOW)[0].step is None
    (folder / "events.jsonl").write_text(json.dumps(event(5, "nat", 7, 33)) + "\n")
    assert runs.refresh(NOW)[0].step == 7
    (folder / "events.jsonl").unlink()
    assert runs.refresh(NOW)[0].step is None


@given(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7))
def test_no_jump_of_the_clock_makes_a_time_negative(jump: float, since: float) -> None:
    heard = [run_files.EventRecord(NOW - 9 + i, "nat", (), i, 33, 1.0, None) for i in range(9)]
    last = run_files.StageRecord("nat", "running", NOW + since, 1.0, {}, "")
    known = RunFiles(Run(Path("a")), stages=[last], created=NOW, events=heard, read_stamps=((1, 1), (1, 1)))
    row = row_made_of(known, NOW + jump, 0.0, True, False)
    assert row.idle_seconds is not None
    assert row.idle_seconds >= 0
    assert row.seconds_left is None or row.seconds_left >= 0
    assert row.state in ("running", "stalled")


def test_a_clock_set_back_keeps_progress(home: Path) -> None:
    row = rows_of(home, NOW - 3600)["training"]
    assert (row.state, row.step, row.idle_seconds) == ("running", 12, 0.0)
    assert row.seconds_left is not None
    assert row.seconds_left > 0


def test_a_run_whose_clock_is_a_day_ahead_stalls_by_what_is_seen_from_here(tmp_path: Path) -> None:
    home, monotonic_clock, day = tmp_path / "r", [100.0], 86_400.0
    folder = make_run(home, "a", {"nat": stage("running", 60 - day, 0)}, steps("nat", 5, 33, 10, -day))
    runs = RunList(home, monotonic_clock=lambda: monotonic_clock[0])

    def look(now: float = NOW) -> RunRow:
        with Run(folder).lock():
            (row,) = runs.refresh(now)
        return row

    row = look()
    assert (row.state, row.step, row.idle_seconds, row.latest_time) == ("running", 5, 0.0, NOW + day)
    assert row.seconds_left == pytest.approx(28 * 10), "the pace is of its own clock"
    monotonic_clock[0] += 110
    assert (look().state, look().idle_seconds) == ("running", 110.0)
    assert look().seconds_left == pytest.approx(28 * 10 - 110)
    monotonic_clock[0] += 20
    assert (look().state, look().idle_seconds) == ("stalled", 130.0)
    assert look(NOW - 3 * day).state == "stalled", "whatever this machine's clock says"
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps(event(-day - 140, "nat", 6, 33, loss=0.1)) + "\n")
    assert (look().state, look().step, look().idle_seconds) == ("running", 6, 0.0), "it was heard of just now"


def test_what_arrives_now_is_new_though_its_clock_is_a_day_behind(tmp_path: Path) -> None:
    home, monotonic_clock, day = tmp_path / "r", [100.0], 86_400.0
    folder = make_run(home, "a", {"nat": stage("running", 60 + day, 0)}, steps("nat", 5, 33, 10, day))
    runs = RunList(home, monotonic_clock=lambda: monotonic_clock[0])
    with Run(folder).lock():
        assert runs.refresh(NOW)[0].state == "stalled", "nothing was seen to arrive: the clock is all there is"
        with (folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(event(day - 10, "nat", 6, 33, loss=0.1)) + "\n")
        (row,) = runs.refresh(NOW)
        assert (row.state, row.idle_seconds) == ("running", 0.0)
        assert row.seconds_left == pytest.approx(27 * 10)
        monotonic_clock[0] += 130
        assert runs.refresh(NOW)[0].state == "stalled"


def test_a_stage_from_before_the_clock_was_set_right_does_not_hide_the_one_that_runs(tmp_path: Path) -> None:
    home = tmp_path / "r"
    stages = {"negative": {**stage("finished", -86_400, 9), "result": {}}, "nat": stage("running", 100, 0)}
    make_run(home, "a", stages, steps("nat", 5, 33, 10, 2))
    row = run_row(home, busy=True)
    assert (row.state, row.stage, row.step) == ("running", "nat", 5)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), max_size=12), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)
)
def test_silence_is_never_longer_than_this_process_has_seen_it(
    looks: list[tuple[float, bool]], started: float, jump: float
) -> None:
    """Whatever the clocks: once a change was seen, silence is at most the time since; times to come hide none."""
    files = RunFiles(Run(Path("a")), read_stamps=((1, 1), (1, 1)), unchanged_since=0.0)
    files.stages = [run_files.StageRecord("nat", "running", NOW + started, 0.0, {}, "")]
    for monotonic_now, (jumped, changed) in enumerate(looks):
        if changed:
            files.unchanged_since, files.changes_seen = float(monotonic_now), True
        row = row_made_of(files, NOW + jump + jumped, float(monotonic_now), True, False)
        assert row.idle_seconds is not None
        assert row.idle_seconds >= 0
        if files.changes_seen:
            assert row.idle_seconds <= monotonic_now - (files.unchanged_since or 0.0)
        if row.latest_time is not None and row.latest_time > NOW + jump + jumped + 5:
            assert row.idle_seconds == monotonic_now - (files.unchanged_since or 0.0)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_only_what_has_changed_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests: list[str] = []
    tails: list[str] = []
    read_manifest, read_tail = run_files._manifest, run_files._last_events

    def manifest(run: Run) -> object:
        manifests.append(run.name)
        return read_manifest(run)

    def tail(path: Path) -> object:
        tails.append(path.parent.name)
        return read_tail(path)

    monkeypatch.setattr(run_files, "_manifest", manifest)
    monkeypatch.setattr(run_files, "_last_events", tail)
    runs = RunList(home)
    runs.refresh(NOW)
    assert len(manifests) == 9
    assert len(tails) == 5
    manifests.clear()
    tails.clear()
    runs.refresh(NOW)
    assert not manifests
    assert not tails
    with (home / "training" / "events.jsonl").open("a") as file:
        file.write(json.dumps(event(1, "nat", 13, 33, loss=0.05)) + "\n")
    assert {row.name: row.step for row in runs.refresh(NOW)}["training"] == 13
    assert not manifests
    assert tails == ["training"]


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    home = tmp_path / "r"
    alpha = {f"model.layers.{i}.self_attn.q_proj": 0.01 for i in range(64)}
    events = [event(3000 - i, "nat", i, 3000, loss=1, alpha=alpha) for i in range(1, 2001)]
    folder = make_run(home, "a", {"nat": stage("interrupted", 3000, 1)}, events)
    path = folder / "events.jsonl"
    assert path.stat().st_size > 20 * run_files.TAIL_BYTES[-1]
    heard = run_files._last_events(path)
    assert heard[-1].step == 2000
    assert PACE_EVENTS <= len(heard) <= run_files.MAX_EVENTS
    with path.open("r+b") as file:  # what is not read may be anything
        file.write(b"\xff" * 1_000_000)
    assert run_row(home).step == 2000


def test_a_look_takes_its_time_and_goes_on_with_the_next(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", -1.0)
    runs = RunList(home)
    assert {row.state for row in runs.refresh(NOW)} == {"reading"}
    assert runs.pending
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", 60.0)
    assert "reading" not in {row.state for row in runs.refresh(NOW)}
    assert not runs.pending


def test_reading_that_takes_many_refreshes_checks_every_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        make_run(tmp_path / "r", f"run-{number}", collected())
    checks: list[str] = []
    check = run_files.RunFiles.check

    def counted(files: run_files.RunFiles, monotonic_now: float) -> tuple[int, int]:
        checks.append(files.run.name)
        return check(files, monotonic_now)

    now = iter(float(second) for second in range(1000))
    monkeypatch.setattr(run_files.RunFiles, "check", counted)
    monkeypatch.setattr(run_list, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", 1.0)  # the clock advances a second a call: one run a refresh
    runs = RunList(tmp_path / "r", monotonic_clock=lambda: 0.0)
    refreshes = [runs.refresh(NOW)]
    while runs.pending:
        refreshes.append(runs.refresh(NOW))
    states = [[row.state for row in rows].count("finished") for rows in refreshes]
    assert states == [1, 2, 3, 4, 5]
    assert len(checks) == 5
    runs.refresh(NOW)
    assert len(checks) == 10


def test_a_run_that_is_deleted_before_it_is_read_is_gone_afterwards(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", -1.0)
    runs = RunList(home)
    before = runs.refresh(NOW)
    monkeypatch.setattr(run_list, "REFRESH_SECONDS", 60.0)
    shutil.rmtree(before[-1].path)
    assert {row.name for row in runs.refresh(NOW)} == {row.name for row in before}
    assert runs.refresh(NOW)[-1].state == "gone"


def test_the_list_changes_no_run(home: Path) -> None:
    def stamps() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in home.rglob("*")}

    before = stamps()
    RunList(home).refresh(NOW)
    assert stamps() == before


def test_a_lock_that_may_not_be_read_leaves_the_manifests_word(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", "a", {"nat": stage("running", 60, 0)}, [event(1, "nat", 1, 9)])
    os.mkdir(folder / "lock")
    assert run_row(tmp_path / "r").state == "running"
