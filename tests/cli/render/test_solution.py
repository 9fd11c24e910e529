"""What people see of a solution: tables that fit, steps, how near it was; nothing in model text is obeyed."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nsad_cli.cli.console import set_up_logging
from nsad_cli.cli.render.evaluation import comparison_tables, group_tables, results_table, stopping_table
from nsad_cli.cli.render.live_votes import LiveVotes
from nsad_cli.cli.render.solution import conclusion, print_solution, steps
from nsad_cli.cli.render.votes import BAR_WIDTH, ballot_table, chains_table
from nsad_cli.evaluation.compare import comparison_rows
from nsad_cli.evaluation.report import report_on
from nsad_cli.inference.solution_json import solution_json
from nsad_cli.inference.solver import Solution, VoteSettings
from nsad_cli.problems.question_files import make_problem
from nsad_cli.types import Chain, Finish, Problem
from nsad_cli.voting.bar_chart import bar
from nsad_cli.voting.rules import RULES, vote
from tests.helpers.classed_chains import made
from tests.helpers.sampled_chains import group

if TYPE_CHECKING:
    from collections.abc import Sequence

EVIL = "Evil \x1b[31mred\x1b]0;title\x07, \u202eturned, [bold]bold[/]. The answer is [red]7[/]."


def printed(*items: object, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    for item in items:
        console.print(item)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def solution(chains: Sequence[Chain], rule: str, sure: float | None = None) -> Solution:
    return Solution(make_problem("?"), vote(chains, rule), tuple(chains), (), sure)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_and_show_what_would_steer(width: int) -> None:
    text = "A long way, 漢字 and all: " * 9 + EVIL
    chains = [
        Chain(
            "p", i, text, "[red]7[/]" if i % 2 else r"\frac{\sqrt{3}}{2}", Finish.STOP, (1,), (-0.1,), i % 2, None, 0.5
        )
        for i in range(6)
    ]
    ballot = vote(chains, "asc")
    lines = printed(chains_table(chains, ballot), ballot_table(ballot, chains), width=width)
    whole = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert "√3/2" in whole
    assert "[red]7[/]" in whole, "LaTeX is readable, markup is text"
    assert sum(line.lstrip(" ▸")[:1].isdigit() and "…" in line for line in lines) == 6, "each shows its end"
    assert "is [red]7[/]." in whole


def test_a_few_rows_where_there_is_room_for_a_few() -> None:
    chains = made([(str(i), 0.5, -0.1) for i in range(9)])
    ballot = vote(chains, "asc")
    assert "and 6 more answers" in " ".join(printed(ballot_table(ballot, chains, most=3)))
    assert "and 1 more answer" in (one := printed(ballot_table(ballot, chains, most=8)))[-1]
    assert "answers" not in one[-1]
    rows = [line.split()[0] for line in printed(chains_table(chains, ballot, most=2))[4:] if line.strip()]
    assert rows == ["7", "8"]


@given(st.floats(0, 1))
def test_bars(share: float) -> None:
    drawn = bar(share, BAR_WIDTH)
    assert len(drawn) == BAR_WIDTH
    assert (drawn.strip() != "") == (share > 0)
    assert bar(1.0, BAR_WIDTH) == "█" * BAR_WIDTH
    assert bar(0.5, BAR_WIDTH) == ("█" * (BAR_WIDTH // 2)).ljust(BAR_WIDTH)


def test_under_best_a_bar_is_the_score_that_decides() -> None:
    """Though the other answer has most of the weight."""
    chains = made([("a", 0.9, -1.0), *[("b", 0.8, -1.0)] * 5])
    lines = printed(ballot_table(vote(chains, "best"), chains))
    rows = [line for line in lines if "█" in line]
    assert rows[0].lstrip().startswith("▸ a")
    assert "0.900" in rows[0]
    assert rows[0].count("█") > rows[1].count("█")
    assert "0.800" in rows[1]
    assert "best score" in "".join(lines)
    assert "%" not in "".join(lines)
    assert "%" not in " ".join(conclusion(solution(chains, "best"), VoteSettings(6, "best")))
    by_weight = [line for line in printed(ballot_table(vote(chains, "asc"), chains)) if "█" in line]
    assert by_weight[0].lstrip().startswith("▸ b")
    assert "82%" in by_weight[0]
    assert "18%" in by_weight[1]


def test_chains_that_were_cut_off_are_told() -> None:
    chains = made([("a", 0.5, -1.0)] * 3)
    assert "cut" not in " ".join(printed(chains_table(chains, vote(chains, "sc"))))
    chains[1] = dataclasses.replace(chains[1], finish=Finish.LENGTH)
    table = printed(chains_table(chains, vote(chains, "sc")), width=60)
    assert ["cut 1" in line for line in table if "a" in line.split()[2:3]] == [False, True, False], table
    (line,) = [line for line in conclusion(solution(chains, "sc"), VoteSettings(3, "sc")) if "truncated" in line]
    assert "1 of 3 chains" in line
    assert "sampling.max_new_tokens" in line
    assert [chain["finish"] for chain in solution_json(solution(chains, "sc"))["chains"]] == ["stop", "length", "stop"]
    silent = [dataclasses.replace(chains[1], answer=None, answer_class=None)]
    assert "sampling.max_new_tokens" in conclusion(solution(silent, "sc"), VoteSettings(1, "sc"))[-1]


def test_chains_are_numbered_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    """As they arrive, by steps, in the table and for programs: by index."""
    chains = made([("a", 0.5, -1.0), ("b", 0.25, -1.0), (None, 0.125, -1.0)])
    set_up_logging()
    watching = LiveVotes(VoteSettings(3, "asc"))
    watching(make_problem("?"), chains[2:])
    watching(make_problem("?"), chains)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "  1 of 3: chain 2: no answer (score 0.125)",
        "  2 of 3: chain 0: a (score 0.500)",
        "  3 of 3: chain 1: b (score 0.250)",
    ]


def test_steps_have_their_own_probabilities() -> None:
    chain = Chain("p", 0, "One.\n\nTwo two.\n", "2", Finish.STOP, (2, 4, 6, 14, 15), (0.0, -1.0, -9.0, -0.5, -9.0))
    (first, likely), (second, other) = steps(chain)
    assert (first.plain, second.plain) == ("One.", "Two two.")
    assert likely == pytest.approx(math.exp(-0.5))
    assert other == pytest.approx(math.exp(-0.5))
    assert [text.plain for text, _ in steps(Chain("p", 0, "It is 3.5 high. So 7. The answer is 7.", "7"))] == [
        "It is 3.5 high.",
        "So 7.",
        "The answer is 7.",
    ]
    assert steps(Chain("p", 0, "", None)) == []


def test_the_first_wrong_step_is_marked() -> None:
    text = "He has $5 \\times 4 = 24$.\x1b[2J\nThen 24 + 3 = 28. [b]"
    good = Chain("p", 1, "5 * 4 = 20", "20", answer_class=1)
    told = solution(
        [Chain("p", 0, text, "28", answer_class=0), good, Chain("p", 2, "It is 7.", "7", answer_class=2)], "sc"
    )
    console = Console(file=io.StringIO(), width=80, no_color=True)
    set_up_logging()
    print_solution(told, VoteSettings(3, "sc"), verbose=True, console=console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue()
    assert "✗«$5 × 4 = 24$»" in lines
    assert lines.count("✗«") == 1, "the first one alone"
    assert "checked steps: 0 of 2 right; first wrong: `$5 × 4 = 24$`" in lines
    assert "checked steps: 1 of 1 right\n" in lines
    assert lines.count("checked steps") == 2, "nothing is said of a chain without equalities"
    assert "\x1b" not in lines
    found = [chain["steps"] for chain in solution_json(told)["chains"]]
    start, end = found[0]["first_wrong"]
    assert text[start:end] == "$5 \\times 4 = 24$"
    assert (found[0]["checked"], found[0]["right"]) == (2, 0)
    assert found[1:] == [
        {"checked": 1, "right": 1, "first_wrong": None},
        {"checked": 0, "right": 0, "first_wrong": None},
    ]


def test_how_near_it_was_is_told() -> None:
    close = made([("a", 0.5, -1.0)] * 3 + [("b", 0.5, -1.0)] * 2 + [(None, 0.5, -1.0)])
    lines = conclusion(solution(close, "sc"), VoteSettings(6, "sc"))
    assert "60% of the chains with an answer; b has 40%" in lines[1]
    assert "if 1 of its 3 chains had answered b, b would have won" in lines[2]
    assert "1 of 6 chains have no answer" in lines[3]
    assert "no chain has another" in conclusion(solution(close[:3], "asc"), VoteSettings(3, "asc"))[1]
    assert "a tie" in conclusion(solution(made([("a", 1, -1.0), ("b", 1, -1.0)]), "sc"), VoteSettings(2, "sc"))[2]
    best = made([("a", 0.9, -1.0), ("b", 0.8, -1.0)])
    assert "scores 0.900, the best with b 0.800" in conclusion(solution(best, "best"), VoteSettings(2, "best"))[1]
    early = conclusion(solution(close[:3], "sc", 0.9375), VoteSettings(8, "sc", 0.95, 3))
    assert "3 of 8 chains sampled: 93.8% likely to stay ahead, below 95%" in early[-1]
    assert "no answer" in conclusion(solution(made([(None, 1, -1.0)]), "sc"), VoteSettings(1, "sc"))[0]


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b", "[x]"]), st.floats(0, 1), st.floats(-5, 0)), min_size=1, max_size=9
    ),
    st.sampled_from(RULES),
)
def test_any_ballot_can_be_told(items: list[tuple[str | None, float, float]], rule: str) -> None:
    found = solution(made(items), rule, 0.9)
    printed(*conclusion(found, VoteSettings(9, rule, 0.95, 1)))
    assert json.loads(json.dumps(solution_json(found)))["answer"] == found.ballot.answer


def test_what_is_measured_fits_into_80_columns() -> None:
    problems = [Problem(str(i), "?", "1", "b", subject=f"[{i % 3}] Precalculus", level=str(i)) for i in range(4)]
    chains = {p.id: ([group(p.id, [1])[0]], group(p.id, [1, 2, 1, 1])) for p in problems}
    report = report_on("a-long-benchmark:test", "self-distillation", problems, chains)
    rows = comparison_rows("a-long-benchmark:test", problems, chains, chains)
    tables = (
        results_table(report["results"]),
        stopping_table(report["stopping"]),
        *group_tables(report["groups"], "asc"),
        *comparison_tables(rows, "run-20261124-120000:nce", "run-20261124-120000:base"),
    )
    lines = printed(*tables)
    assert max(map(len, lines)) <= 80
    whole = "\n".join(lines)
    assert "[0] Precalculus" in whole
    assert "pass@2" in whole
    assert "+0.0 … +0.0" in whole


NARROW = [25, 40, 48, 50, 52, 60, 80]


@pytest.mark.parametrize("width", NARROW)
def test_numbers_are_never_cut(width: int) -> None:
    """Every number stands there whole, and in its row's order, or its column is left out and said to be."""
    problems = [Problem(str(i), "?", "1", "b", subject=f"Subject {i % 2}", level=str(i)) for i in range(3)]
    chains = {p.id: ([group(p.id, [1])[0]], group(p.id, [1, 2, 1, 1])) for p in problems}
    other = {p.id: ([group(p.id, [i])[0]], group(p.id, [2, 2, i, 1])) for i, p in enumerate(problems)}
    report = report_on("a-benchmark:test", "self-distillation", problems, chains)
    rows = comparison_rows("a-benchmark:test", problems, chains, other)
    tables = (
        results_table(report["results"]),
        stopping_table(report["stopping"]),
        *group_tables(report["groups"], "asc"),
        *comparison_tables(rows, "run-1:nce", "run-2:nce"),
    )
    lines = printed(*tables, width=width)
    whole = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert not re.search(r"\d…|\.…|…%", whole), "cut"
    for row in rows:
        wanted = [f"{100 * row[key]:.1f}" for key in ("a", "b")] + [f"{100 * row['difference']:+.1f}"]
        wanted += [f"{100 * row['ci95'][0]:+.1f} … {100 * row['ci95'][1]:+.1f}"]
        if row["p"] is not None:
            alone = [] if "see --json: bootstrap and A : B" in whole else [f"{row['only_a']} : {row['only_b']}"]
            wanted += [*alone, f"{row['p']:.3f}"]
        between = r"(?:(?!greedy|pass|any|mean).)*?"
        assert re.search(between.join(map(re.escape, [row["rule"] or "greedy", *wanted])), whole, re.DOTALL), row
    for row in report["results"]:
        assert f"{100 * row['ci95'][0]:.1f}–{100 * row['ci95'][1]:.1f}" in whole


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("rule", ["sc", "asc"])
def test_every_answer_and_share_is_readable(width: int, rule: str) -> None:
    said = ["1234567", "3/4", "x + 12y - 3z", "a long answer of several words, 900 of them"]
    chains = made([(said[0], 0.5, -0.1)] * 9 + [(answer, 0.25, -0.3) for answer in said[1:]])
    ballot = vote(chains, rule)
    total = sum(item.weight for item in ballot.votes)
    for table in (ballot_table(ballot, chains), chains_table(chains, ballot)):
        lines = printed(table, width=width)
        assert max(map(len, lines)) <= width
        assert "cut" not in lines
        answers = " ".join(re.sub(r"[▸─█▏▎▍▌▋▊▉]", " ", "\n".join(lines)).split())
        for answer in said[:3]:
            assert answer in answers or width < 48, answer
        assert all(word in answers for answer in said for word in answer.split())
        assert not re.search(r"\d…|…%|…\n", "\n".join(lines))
    shares = [f"{item.weight / total:.0%}" for item in ballot.votes]
    whole = "\n".join(printed(ballot_table(ballot, chains), width=width))
    assert re.findall(r"\d+%", whole) == shares
    if rule == "asc":
        assert re.findall(r"\d\.\d{3}", whole) == [f"{item.weight:.3f}" for item in ballot.votes]


def test_bars_shrink_before_answers_break() -> None:
    chains = made([("1234567", 0.5, -0.1)] * 3 + [("x + 12y - 3z", 0.25, -0.3)])
    ballot = vote(chains, "asc")
    bars = {
        width: max(line.count("█") for line in printed(ballot_table(ballot, chains), width=width))
        for width in (40, 52, 80)
    }
    assert bars[40] == 0 < bars[52] < bars[80]
    few = made([("6", 0.5, -0.1)] * 3 + [("12", 0.25, -0.3)])
    short = vote(few, "asc")
    for width in (40, 44, 48):
        lines = printed(ballot_table(short, few), width=width)
        assert any(line.split() == ["answer", "share", "weight", "chains"] for line in lines)
        assert any("█" in line for line in lines) or width < 44, "short answers leave room for bars"
    for width in bars:
        assert any("x + 12y - 3z" in line for line in printed(ballot_table(ballot, chains), width=width))
