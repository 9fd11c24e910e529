"""`nsad compare` as it is typed: its tables, its JSON, its errors; nothing is sampled, and torch is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.types import Score
from tests.helpers.compared_runs import WRONG, add_ranker, answer, make_benchmark, make_run, score

if TYPE_CHECKING:
    from nsad_cli.types import Chain, Problem

TRAINED = {
    "negative": {"tokens": 18_452, "steps": 9, "trained_parameters": 460_800},
    "nce": {"tokens": 21_359, "steps": 9, "trained_parameters": 460_800},
    "cot-kd": {"tokens": 42_000, "steps": 19, "trained_parameters": 460_800},
    "nt": {"tokens": 10, "trained_parameters": 1},
}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """A benchmark, and two runs with answers to it: one of two seeds that differ in nothing else."""
    made = make_benchmark(tmp_path, 6)
    for seed, marks in ((0, "+++---"), (1, "++++--")):
        run = make_run(f"kd-{seed}", [made], TRAINED, seed=seed)
        answer(run, "cot-kd", made, marks)
        answer(run, "negative", made, "+----+")
        answer(run, "nce", made, marks, "+-- +++ +++ --- --- +--")
    name = add_ranker(run, weighting={"form": "odds", "exponent": 2.0})

    def judge(_: Problem, chain: Chain) -> Score:
        p = 0.1 if chain.answer == WRONG else 0.9
        return Score(p, p)

    score(run, "nce", made, name, judge)
    return made


def nsad(*commands: str) -> list[tuple[int, str, str]]:
    """Run commands in one process: the exit code, stdout and stderr of each."""
    code = (
        "import contextlib, io, json, os, sys\n"
        "from nsad_cli.cli.main import main\n"
        "found = []\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    streams, sys.argv = (io.StringIO(), io.StringIO()), ['nsad', *command.split()]\n"
        "    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):\n"
        "        try:\n"
        "            main()\n"
        "        except SystemExit as end:\n"
        "            found.append((end.code or 0, *(stream.getvalue() for stream in streams)))\n"
        "        else:\n"
        "            found.append((0, *(stream.getvalue() for stream in streams)))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "print(json.dumps(found))\n"
    )
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "COLUMNS": "100"}
    command = [sys.executable, "-c", code, json.dumps(commands)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [(code, stdout, stderr) for code, stdout, stderr in json.loads(done.stdout)]


def one_object(result: tuple[int, str, str]) -> dict[str, Any]:
    code, stdout, stderr = result
    assert code == 0, stderr
    assert len(stdout.splitlines()) == 1
    value: dict[str, Any] = json.loads(stdout)
    return value


def test_its_tables_and_objects(spec: str) -> None:
    assert spec
    pair, seeds, weights, shown, of_seeds = nsad(
        "compare kd-1 --models cot-kd,negative --by subject --json",
        "compare kd-* --rules greedy,sc,asc --json",
        "compare kd-1:nce --weights --json",
        "compare kd-1 --models cot-kd,negative",
        "compare kd-* --models nce --rules sc,asc",
    )
    two = one_object(pair)
    assert (two["a"], two["b"]) == ("kd-1:cot-kd", "kd-1:negative")
    overlap = [(row["group"], row["a"], row["b"], row["both"], row["iou"]) for row in two["overlap"]]
    assert overlap == [("Algebra", 3, 1, 1, 1 / 3), ("Geometry", 1, 1, 0, 0.0), (None, 4, 2, 1, 0.2)]
    (greedy,) = two["comparison"]
    assert (greedy["only_a"], greedy["only_b"], greedy["p"]) == (3, 1, 0.625)
    table = one_object(seeds)
    assert {row["run"] for row in table["results"]} == {"kd-*"}
    own = {row["rule"]: row for row in table["results"] if row["model"] == "nce"}
    assert (own[None]["seeds"], own["sc"]["seeds"], own["asc"]["seeds"]) == ([0, 1], [0, 1], [1]), "kd-0 has no ranker"
    assert own["sc"]["sd"] == 0.0, "both have the same chains"
    assert (own["asc"]["sd"], own["asc"]["runs"]) == (None, ["kd-1"])
    assert (table["a"], table["comparison"], table["overlap"]) == (None, [], [])
    ablation = one_object(weights)
    assert {"sc", "wsc", "asc", "asc-add", "asc-add2", "best", "any"} == {row["rule"] for row in ablation["weights"]}
    assert ablation["left_out"] == []
    code, text, _ = shown
    assert code == 0
    for said in ("Accuracy in %", "Trained sizes", "cot-kd 42.0k", "problems solved by A kd-1:cot-kd, B kd-1:negative"):
        assert said in text
    assert ["(1", "of", "2)"] in [line.split()[:3] for line in of_seeds[1].splitlines()], of_seeds[1]
    assert ["all", "6", "4", "2", "1", "5", "0.200", "0.625"] in [line.split() for line in text.splitlines()]


def test_its_errors_are_three_lines(spec: str) -> None:
    make_run("bare", [spec], TRAINED)
    cases = {
        "compare bare": (2, "run `bare` has no stored answers", "nsad eval --run bare"),
        "compare bare:nce kd-0": (2, "run `bare` has no stored answers", "nsad eval --run bare"),
        "compare kd-0 --models nt": (2, "kd-0:nt has no stored answers", "nsad eval --run kd-0 --model nt"),
        "compare kd-0:nat": (1, "has no nat adapter", "nsad train-nat --run kd-0"),
        "compare kd-0:nta": (2, "unknown model `nta`", "models: base"),
        "compare none": (2, "no run named `none`", "nsad runs"),
        "compare x*": (2, "no run matches `x*`", "nsad runs"),
        "compare kd-0 --by topic": (2, "invalid value `topic` of --by", "subject, level"),
        "compare kd-0 --rules asd": (2, "invalid value `asd` of --rules", "asc"),
        "compare kd-0 --weights --by level": (2, "invalid usage of `nsad compare --weights`", "--by"),
        "compare kd-0:cot-kd --weights": (2, "has no stored chains to vote on", "--model cot-kd --samples 8"),
    }
    for (code, stdout, stderr), (expected, what, fix) in zip(nsad(*cases), cases.values(), strict=True):
        lines = stderr.splitlines()[-3:]
        assert (code, stdout) == (expected, ""), stderr
        assert what in lines[0], lines
        assert lines[1].startswith("  why: "), lines
        assert fix in lines[2], lines
