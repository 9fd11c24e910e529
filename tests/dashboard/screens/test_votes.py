"""The votes screen: queues, what-if, search, comparisons, other processes' stores, at every width."""

from __future__ import annotations

import csv
import functools
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from nsad_cli.dashboard.screens import votes_drawing
from nsad_cli.dashboard.screens.votes import VotesView
from nsad_cli.dashboard.widgets.chooser import Chooser
from nsad_cli.grading import marked_steps
from nsad_cli.grading.step_checks import StepChecks, check_steps
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Problem
from tests.helpers.screens import check_snapshot, dashboard, drive, screen_text
from tests.helpers.vote_run import ANSWERS, FIRST, PROBLEMS, SAMPLED, SECOND, chains_of, make_run, put_steps

if TYPE_CHECKING:
    from pathlib import Path

Script = Callable[[Pilot[Any], VotesView], Awaitable[None]]
WIDTHS = {50: 20, 80: 24, 120: 36, 200: 50}


async def settled(pilot: Pilot[Any]) -> VotesView:
    """Wait until nothing is read in the background."""
    for _ in range(400):
        await pilot.pause(0.01)
        view = pilot.app.screen
        if not isinstance(view, VotesView):
            continue
        busy = view.busy()
        if not busy and (view.state.problem_list.problems or view.has_class("-empty")):
            await pilot.pause()
            return view
    raise AssertionError("it reads and reads")


def look(home: Path, script: Script, size: tuple[int, int] = (120, 36), run: str | None = "taken", **more: Any) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await script(pilot, await settled(pilot))

    drive(dashboard(home, run, "votes", **more), settle, size)


async def press(pilot: Pilot[Any], *keys: str) -> str:
    """Press keys; what the screen shows then."""
    await pilot.press(*keys)
    await pilot.pause()
    return screen_text(pilot.app)


def problem_names(view: VotesView) -> list[str]:
    names = {problem.id: name for name, problem in PROBLEMS.items()}
    return [names[problem.id] for problem in view.state.problem_list.rows]


def test_the_newest_set_with_votes_and_the_newest_ranker(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        assert view.state.problem_list.chosen
        assert view.state.problem_list.chosen.key == SAMPLED
        assert view.state.problem_list.chosen.chains == 20
        assert view.state.problem_list.ranker == SECOND
        assert view.state.problem_list.rule == "asc"
        assert problem_names(view) == list(PROBLEMS)
        shown = screen_text(pilot.app)
        assert "There are 3 boxes" in shown
        assert "✗ 10" in shown
        assert "gold answer: 12" in shown
        assert "▸" in shown
        assert "rests on" in shown

    look(tmp_path, script)


def test_filters(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        found = {}
        for _ in range(5):
            found[view.state.problem_list.filter] = problem_names(view)
            await press(pilot, "f")
        assert view.state.problem_list.filter == "all"
        assert found == {
            "all": list(PROBLEMS),
            "disagree": ["lost"],  # 12 by count, 6 by the second ranker
            "gold-loses": ["split"],
            "near": [],
            "no-answer": ["silent"],
        }
        await press(pilot, "F")
        assert view.state.problem_list.filter == "no-answer"
        assert "no chain has an answer" in screen_text(pilot.app)
        await press(pilot, "f", "v")  # asc-add decides now: it is counted too
        await settled(pilot)
        assert view.state.problem_list.rule == "asc-add"
        assert "asc-add" in view.state.problem_list.results[PROBLEMS["sure"].id].winners

    look(tmp_path, script)


def test_what_if_is_counted_at_once(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        open_problem = view.state.open_problem
        await press(pilot, "j", "enter")
        assert open_problem.problem == PROBLEMS["split"]
        shown = await press(pilot, "m")  # by the second ranker 22 wins, and rests on two chains: .9 > .2
        assert open_problem.what_if.excluded == {0, 1, 4}
        assert "winner changes: sc" in shown
        assert "◂22" in shown
        assert "⊘" in shown
        assert "r: reset" in shown
        shown = await press(pilot, "r")
        assert open_problem.what_if.is_default
        assert "what if" not in shown
        await press(pilot, "space", "down", "space")
        assert open_problem.what_if.excluded == {0, 1}
        assert "sc" in open_problem.changed()
        await press(pilot, "up", "space")
        assert open_problem.what_if.excluded == {1}
        await press(pilot, "r", "o")
        assert open_problem.what_if.only == 0
        assert open_problem.included == {0, 1, 4}
        await press(pilot, "o", "[", "[")
        assert open_problem.what_if.first == 3
        assert open_problem.included == {0, 1, 2}
        await press(pilot, "]", "]", "]", "minus", "minus", "minus")
        assert open_problem.what_if.first is None
        assert open_problem.what_if.power == 0
        assert set(open_problem.rule_result("asc").weights.values()) == {1.0}
        await press(pilot, "plus", "equals_sign", "plus")
        assert open_problem.what_if.power == 2
        shown = await press(pilot, "r", "w")
        assert open_problem.ranker == FIRST
        assert f"weights of {FIRST}" in shown
        assert "winner changes: asc" in shown
        await press(pilot, "n")  # what holds of any problem stays, what was said of these chains goes
        assert open_problem.problem == PROBLEMS["lost"]
        assert open_problem.ranker == FIRST
        await press(pilot, "space", "p")
        assert open_problem.problem == PROBLEMS["split"]
        assert not open_problem.what_if.excluded

    look(tmp_path, script)


def test_all_chains_left_out(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await press(pilot, "enter")
        shown = await press(pilot, "space", "j", "space", "j", "space", "j", "space", "j", "space")
        assert view.state.open_problem.included == set()
        assert "no chain has an answer" in shown
        assert "needs scores" in shown

    look(tmp_path, script)


def test_search(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        async def search(text: str) -> list[str]:
            await pilot.press("slash")
            view.query_one("#votes-search", Input).value = text
            await pilot.press("enter")
            await settled(pilot)
            return problem_names(view)

        assert await search("dozen") == ["lost"]
        assert await search("ANSWER is 22") == ["split"], "in the chains' text, whatever the case"
        assert await search("100%") == []
        assert view.state.open_problem.problem is None, "a wildcard is a character"
        await press(pilot, "escape")
        assert problem_names(view) == list(PROBLEMS)

    look(tmp_path, script)


def test_comparison_with_another_ranker_and_another_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    with ChainStore(make_run(tmp_path, "other") / "chains.sqlite") as store:
        for key in ("lost", "sure"):  # the other run says 6 where this one said 12, and 10 instead of 12
            said = {"lost": "6", "sure": "10"}[key]
            changed = [chain for chain in chains_of(key) if chain.answer == said]
            store._db._connection.execute(
                "DELETE FROM chains WHERE model = 'nce' AND problem_id = ?", (PROBLEMS[key].id,)
            )
            store.put(PROBLEMS[key], changed, **SAMPLED)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await press(pilot, "v", "v", "v", "v", "c")  # asc-add, asc-add2, best, sc: without scores both sides count
        for _ in range(200):
            await pilot.pause(0.02)
            if isinstance(pilot.app.screen, Chooser):
                break
        shown = screen_text(pilot.app)
        assert f"taken · nce · 5 problems · 3 to 5 chains each · 4e0c/5a3d · {FIRST}" in shown
        assert "taken · base" in shown
        assert "other · nce" in shown
        chosen = next(i for i, side in enumerate(shown.splitlines()) if "other · nce" in side)
        first = next(i for i, side in enumerate(shown.splitlines()) if FIRST in side)
        await press(pilot, *["down"] * (chosen - first), "enter")
        await settled(pilot)
        became = {name: view.state.problem_list.transition(problem.id) for name, problem in PROBLEMS.items()}
        assert became["lost"] == "fixed"
        assert became["sure"] == "broke"
        assert became["silent"] == "both-wrong"
        shown = await press(pilot, "f")
        assert problem_names(view) == ["lost"]
        assert "✗→✓" in shown
        assert "there:" in shown
        assert "fixed 1" in shown
        data = view.data()
        assert data
        (row,) = [dict(zip(data.columns, row, strict=True)) for row in data.rows]
        assert row["became"] == "fixed"
        assert (row["here_answer"], row["there_answer"]) == ("12", "6")
        assert (row["here_chains"], row["there_chains"]) == (1, 1)
        assert row["here_rule"] == "sc"
        assert str(row["there"]).startswith("other · nce")
        assert str(row["here"]).startswith("taken · nce")
        await press(pilot, "c")
        assert view.state.problem_list.other is None
        assert problem_names(view) == list(PROBLEMS)

    look(tmp_path, script)


async def compare_with(pilot: Pilot[Any], name: str) -> VotesView:
    """Choose the other side whose line holds a text."""
    await pilot.press("c")
    for _ in range(200):
        await pilot.pause(0.02)
        if isinstance(pilot.app.screen, Chooser):
            break
    chooser = pilot.app.screen
    assert isinstance(chooser, Chooser)
    place = next(i for i, side in enumerate(chooser.choices) if name in side)
    await pilot.press(*["down"] * place, "enter")
    return await settled(pilot)


def test_a_comparison_is_over_as_many_chains_as_both_have(tmp_path: Path) -> None:
    """The first two of `split` say 22, all five too; the other run has but its first three chains."""
    make_run(tmp_path)
    with ChainStore(make_run(tmp_path, "other") / "chains.sqlite") as store:
        store._db._connection.execute("DELETE FROM weights WHERE chain_id IN (SELECT id FROM chains WHERE number > 2)")
        store._db._connection.execute("DELETE FROM chains WHERE number > 2")

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await compare_with(pilot, "other · nce")
        counts = {
            name: [side.chains for side in view.state.problem_list.pairs[problem.id]]
            for name, problem in PROBLEMS.items()
        }
        assert set(map(tuple, counts.values())) == {(3, 3)}
        assert view.state.problem_list.counts["fixed"] == view.state.problem_list.counts["broke"] == 0, (
            "the same chains say the same"
        )
        shown = screen_text(pilot.app)
        assert "the first 3 chains on both sides" in shown
        assert "sc replaces asc: 2 here, 2 there" in shown
        shown = await press(pilot, "j", "enter")
        assert view.state.open_problem.included == {0, 1, 2}
        assert len(view.state.open_problem.chains) == 5
        assert len(view.state.open_problem.other_chains) == 3
        assert shown.count("⊘") == 2
        assert "what if" not in shown
        await press(pilot, "[")
        assert view.state.open_problem.included == {0, 1}
        assert "the first 2 of 3" in screen_text(pilot.app)

    look(tmp_path, script, (200, 50))


def test_votes_are_compared_with_greedy_chains(tmp_path: Path) -> None:
    """There a greedy chain stands against all that were sampled."""
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await compare_with(pilot, "taken · base")
        found = view.state.problem_list.pairs[PROBLEMS["sure"].id]
        assert [side.chains for side in found] == [5, 1]
        assert view.state.open_problem.included == set(range(5))
        assert "greedy there" in screen_text(pilot.app)

    look(tmp_path, script, (200, 50))


def test_a_comparison_follows_both_stores(tmp_path: Path) -> None:
    make_run(tmp_path)
    other = make_run(tmp_path, "other")
    with ChainStore(other / "chains.sqlite") as store:
        store._db._connection.execute("DELETE FROM weights")
        store._db._connection.execute("DELETE FROM chains WHERE problem_id = ?", (PROBLEMS["lost"].id,))

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await compare_with(pilot, "other · nce")
        assert PROBLEMS["lost"].id not in view.state.problem_list.pairs
        with ChainStore(other / "chains.sqlite") as store:
            store.put(PROBLEMS["lost"], chains_of("lost"), **SAMPLED)
        view.follower.rest_until = 0.0
        view.tick()
        await settled(pilot)
        assert PROBLEMS["lost"].id in view.state.problem_list.pairs

    look(tmp_path, script)


def test_other_chains_of_the_run(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await press(pilot, "s", "down", "enter")
        await settled(pilot)
        assert view.state.problem_list.chosen
        assert view.state.problem_list.chosen.model == "base"
        assert view.state.problem_list.rule == "sc"
        assert view.state.open_problem.chains[0].index == -1
        won = view.state.problem_list.winner(PROBLEMS["sure"].id)
        assert won is not None
        assert won.right

    look(tmp_path, script)


def test_what_is_exported(tmp_path: Path) -> None:
    make_run(tmp_path / "runs")
    (tmp_path / "out").mkdir()

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        data = view.data()
        assert data
        assert data.columns[:4] == ["problem", "question", "gold", "chains"]
        rows = [list(row) for row in data.rows]
        assert rows[0][:4] == ["a1" * 8, PROBLEMS["sure"].question, "12", 5]
        assert len(rows) == 5
        await press(pilot, "enter", "space", "e")

    look(tmp_path / "runs", script, exports=tmp_path / "out")
    (path,) = (tmp_path / "out").glob("nsad-votes-*.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["answer"] for row in rows] == [answer or "" for answer, _, _ in ANSWERS["sure"]]
    assert [row["left_in"] for row in rows] == ["False", "True", "True", "True", "True"]
    assert rows[2]["right"] == "False"
    assert rows[2]["weight"] == "0.9"
    assert rows[2]["text"].startswith("We count")


@pytest.mark.parametrize("size", WIDTHS.items())
def test_control_sequences_and_markup_are_shown(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], _: VotesView) -> None:
        for keys in ([], ["end", "enter"], ["down", "enter"]):
            shown = await press(pilot, *keys)
            assert not set(shown) & {"\x1b", "\x07", "\u202e"}
        assert "\\x1b[2J" in shown
        assert "[bold red]" in shown
        assert "\\frac{1}{2} of two" in shown
        assert "1/2 of two" in await press(pilot, "l")

    look(tmp_path, script, size)


def test_low_probability_tokens_are_marked_without_colour(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], _: VotesView) -> None:
        shown = await press(pilot, "enter", "enter")
        assert "We count them in ‹the› way of chain 0." in shown.replace("  ", " ")
        assert "3 tokens ‹below 20%›" in shown

    look(tmp_path, script)


@pytest.mark.parametrize("size", [(50, 20), (80, 24)])
def test_levels_take_turns_where_there_is_little_room(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        def seen() -> list[str]:
            return [name for name in ("problems", "chains", "bars", "text") if view.query_one(f"#{name}").region.height]

        assert seen() == ["problems"]
        await press(pilot, "space", "o", "m")
        assert view.state.open_problem.what_if.is_default, "no chain is in sight"
        await press(pilot, "enter")
        assert seen() == (["chains", "bars"] if size[0] < 70 else ["chains", "bars", "text"])
        await press(pilot, "enter")
        assert seen() == ["text"]
        await press(pilot, "n")
        assert view.state.open_problem.problem == PROBLEMS["split"]
        await press(pilot, "escape", "escape")
        assert seen() == ["problems"]
        assert view.panes.problems.cursor == 1

    look(tmp_path, script, size)


def test_another_size_and_another_theme(tmp_path: Path) -> None:
    make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        whole = screen_text(view.app)
        await press(pilot, "enter")
        await pilot.resize_terminal(50, 20)
        await pilot.pause()
        narrow = await press(pilot, "j")
        assert "wsc" in narrow
        assert all(len(line) <= 50 for line in narrow.splitlines())
        assert view.query_one("#chains").region.height == 6
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert view.panes.chains.region.height == 7, "a border, the head, five chains"
        wide = await press(pilot, "k", "escape")
        assert wide == whole
        for theme in ("textual-light", "colour-blind", "textual-dark"):
            view.app.theme = theme
            await pilot.pause()
            assert screen_text(view.app) == whole, theme

    look(tmp_path, script)


def test_the_store_grows_while_it_is_looked_at(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        await press(pilot, "j", "j")
        with ChainStore(run / "chains.sqlite") as store:
            new = Problem("f6" * 8, "One more?", "12", "made")
            store.put(new, chains_of("sure"), **SAMPLED)
        view.follower.rest_until = 0.0
        view.tick()
        await settled(pilot)
        assert [problem.id for problem in view.state.problem_list.rows][-1] == new.id
        assert len(view.state.problem_list.results) == 6
        assert view.state.open_problem.problem == PROBLEMS["lost"], "the cursor stays where it was"

    look(tmp_path, script)


def test_nothing_to_look_into(tmp_path: Path) -> None:
    async def no_run(pilot: Pilot[Any], _: VotesView) -> None:
        assert "nsad demo" in screen_text(pilot.app)
        await press(pilot, "f", "c", "s", "m", "slash", "x", "enter", "escape", "v", "enter")

    look(tmp_path, no_run, run=None)
    (tmp_path / "bare").mkdir()

    async def no_chains(pilot: Pilot[Any], _: VotesView) -> None:
        assert "nsad eval --run bare" in screen_text(pilot.app)

    look(tmp_path, no_chains, run="bare")
    with ChainStore(tmp_path / "bare" / "chains.sqlite"):
        pass

    async def empty(pilot: Pilot[Any], view: VotesView) -> None:
        assert "is empty" in screen_text(pilot.app)
        with ChainStore(tmp_path / "bare" / "chains.sqlite") as store:
            store.put(PROBLEMS["sure"], chains_of("sure"), **SAMPLED)
        view.follower.rest_until = 0.0
        view.tick()
        await settled(pilot)
        await pilot.pause(0.1)
        assert problem_names(view) == ["sure"]
        assert not view.has_class("-empty")

    look(tmp_path, empty, run="bare")


@pytest.mark.parametrize("what", ["not a database", "cut short", "newer", "locked"])
def test_a_store_that_cannot_be_read(tmp_path: Path, what: str) -> None:
    path = make_run(tmp_path) / "chains.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    if what == "not a database":
        path.write_bytes(b"no database at all, whatever it says" * 100)
    elif what == "cut short":
        holder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    elif what == "newer":
        holder.execute("PRAGMA user_version = 99")
    else:
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")

    async def script(pilot: Pilot[Any], _: VotesView) -> None:
        shown = " ".join(screen_text(pilot.app).split())
        why = {"newer": "has format 99", "locked": "another process is writing to it"}
        assert why.get(what, "cannot use the chain store") in shown

    look(tmp_path, script)
    holder.close()


def test_a_problem_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """Nothing of the problem before stays beside the new question."""
    path = make_run(tmp_path) / "chains.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        first = view.state.open_problem.problem
        holder.execute("BEGIN EXCLUSIVE")
        shown = await press(pilot, "j")
        assert "cannot use the chain store" in shown
        assert view.state.open_problem.problem is None
        assert "gold answer" not in shown
        assert "rests on" not in shown
        holder.execute("ROLLBACK")
        view.tick()
        await settled(pilot)
        shown = screen_text(pilot.app)
        assert view.state.open_problem.problem not in (None, first)
        assert "rests on" in shown
        assert "cannot use" not in shown

    look(tmp_path, script)
    holder.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chains SET logprobs = x'0102'",
        "UPDATE chains SET finish = 'of a later version'",
        "UPDATE chains SET answer = CAST(x'ff' AS TEXT)",
        "UPDATE chains SET text = CAST(x'ff' AS TEXT)",
        "UPDATE weights SET weight = 'much'",
    ],
)
def test_values_that_no_version_writes_are_told(tmp_path: Path, damage: str) -> None:
    path = make_run(tmp_path) / "chains.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(damage)
    db.close()

    async def script(pilot: Pilot[Any]) -> None:
        for _ in range(100):
            await pilot.pause(0.02)
            if "cannot" in (shown := screen_text(pilot.app)):
                break
        assert "cannot" in shown
        await press(pilot, "j", "enter", "m")

    drive(dashboard(tmp_path, "taken", "votes"), script)


def test_a_store_that_breaks_while_it_is_looked_at(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    async def script(pilot: Pilot[Any], view: VotesView) -> None:
        for name in run.glob("chains.sqlite*"):
            name.unlink()
        (run / "chains.sqlite").write_bytes(b"rubbish" * 1000)
        view.follower.rest_until = 0.0
        view.tick()
        await settled(pilot)
        assert "cannot use the chain store" in screen_text(pilot.app)
        assert problem_names(view) == list(PROBLEMS), "what was read stays"
        await press(pilot, "j")
        (run / "chains.sqlite").unlink()
        view.tick()
        await pilot.pause()
        assert "has no chains yet" in screen_text(pilot.app)

    look(tmp_path, script)


@pytest.mark.parametrize("size", WIDTHS.items())
def test_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path)
    app = dashboard(tmp_path, "taken", "votes")

    async def script(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        check_snapshot(app, f"votes-list-{size[0]}")
        await press(pilot, "j", "enter", "m")
        check_snapshot(app, f"votes-what-if-{size[0]}")
        await press(pilot, "r", "enter")
        check_snapshot(app, f"votes-text-{size[0]}")

    drive(app, script, size)


@pytest.mark.parametrize("size", WIDTHS.items())
def test_pictures_of_a_wrong_step(tmp_path: Path, size: tuple[int, int]) -> None:
    put_steps(make_run(tmp_path))
    app = dashboard(tmp_path, "taken", "votes")

    async def script(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await press(pilot, "end", "enter", "enter")
        check_snapshot(app, f"votes-steps-{size[0]}")
        await press(pilot, "l")
        check_snapshot(app, f"votes-steps-latex-{size[0]}")

    drive(app, script, size)


def test_the_first_wrong_step_is_marked(tmp_path: Path) -> None:
    put_steps(make_run(tmp_path))

    async def script(pilot: Pilot[Any], _: VotesView) -> None:
        shown = await press(pilot, "end", "enter", "enter")
        assert "checked steps: 1 of 3 right; first wrong: `$5 × 4 = 24$`" in shown
        assert "✗«" in shown
        assert "‹" in shown, "unlikely tokens stay marked in the source"
        assert "✗«$5 × 4 = 24$»" in await press(pilot, "l")
        shown = await press(pilot, "escape", "down")
        assert "checked steps: 2 of 2 right" in shown
        assert "✗«" not in shown
        shown = await press(pilot, "escape", "home")
        assert "checked steps" not in shown, "nothing is said of a chain without equalities"

    look(tmp_path, script)


def test_a_chain_is_checked_once_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen redraws the text for every key; other chains than the one that is shown are not checked."""
    put_steps(make_run(tmp_path))
    texts: list[str] = []

    def check(text: str) -> StepChecks:
        texts.append(text)
        return check_steps(text)

    checked = functools.lru_cache(check)
    for module in (marked_steps, votes_drawing):
        monkeypatch.setattr(module, "checked_steps", checked)

    async def script(pilot: Pilot[Any], _: VotesView) -> None:
        texts.clear()
        await press(pilot, "end", "enter", "enter")
        await press(pilot, "l", "l", "escape", "enter")
        assert len(texts) == 1

    look(tmp_path, script)
