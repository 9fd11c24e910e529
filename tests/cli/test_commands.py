"""The program as its users meet it: a real process, its output, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nsad_cli.problems.arithmetic import problems
from nsad_cli.voting.rules import RULES
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.terminal import Terminal
from tests.helpers.tiny_recipes import STAGE, recipe

if TYPE_CHECKING:
    from pathlib import Path

Nsad = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def nsad(tmp_path: Path) -> Nsad:
    """`nsad` in an empty folder."""
    return lambda *arguments, **options: run_nsad(tmp_path / "home", *arguments, **options)


@pytest.fixture(scope="module")
def trained(
    tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which `nsad run` has finished a tiny recipe."""
    home = tmp_path_factory.mktemp("trained")
    (home / "tiny.yaml").write_text(yaml.safe_dump(recipe(tiny_llama).model_dump(mode="json")))
    return home, run_nsad(home, "run", "tiny.yaml", "--json")


def test_help_and_version_import_nothing_heavy(nsad: Nsad) -> None:
    check = (
        "import sys; sys.argv = ['nsad', '--help']\n"
        "from nsad_cli.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'pydantic', 'textual', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)
    assert nsad("--version").stdout.startswith("nsad ")
    for command in (
        "collect",
        "grade",
        "train-nat",
        "train-nce",
        "train-ranker",
        "train-baseline",
        "solve",
        "vote",
        "eval",
        "run",
        "runs",
        "export",
        "data",
        "stats",
        "report",
        "doctor",
        "demo",
    ):
        assert nsad(command, "--help").returncode == 0, command


@pytest.mark.parametrize("command", ["solve", "vote"])
def test_help_explains_every_rule_and_the_files(nsad: Nsad, command: str) -> None:
    told = " ".join(nsad(command, "--help", COLUMNS="200").stdout.replace("│", " ").split())
    for rule in RULES:
        assert f"{rule}: " in told, rule
    assert "likely to stay ahead" in told
    assert command == "solve" or ('"chains": [{"text", "answer"?' in told and '"generated_answer": ["…", …]' in told)


def test_a_whole_run_prints_one_json_object(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, result = trained
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["run"] == "tiny"
    assert {row["model"] for row in value["results"]} == {"base", "nat", "nce"}
    assert "negative" in result.stderr
    assert "nce" in result.stderr
    assert "report: runs/tiny/report.html" in result.stderr
    assert "Accuracy on" in (home / "runs" / "tiny" / "report.html").read_text()


def test_solve_needs_no_flag_after_a_run(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    result = run_nsad(home, "solve", "-", "--json", "--samples", "3", stdin="Ana has 3 cups. How many?")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert set(value) == {"answer", "rule", "share", "votes", "chains"}
    assert value["rule"] == "asc"
    assert [chain["index"] for chain in value["chains"]] == [0, 1, 2]
    assert set(value["chains"][0]) == {
        *("index", "text", "answer", "weight", "probability", "logprob", "tokens", "finish", "steps"),
    }
    assert "run: tiny" in result.stderr
    again = run_nsad(home, "solve", "Ana has 3 cups. How many?", "--samples", "3", "--verbose")
    assert again.returncode == 0
    assert "rule asc" in again.stderr
    assert "chain 2" in again.stdout


def test_a_file_of_problems_is_solved_once(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    asked = ["Ana has 3 cups and gets 4.", "", "Ben has 2 pens?"]
    lines = [{"question": asked[0], "answer": 7}, *({"question": question} for question in asked[1:])]
    (home / "asked.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot json\n")
    arguments = ["solve", "--file", "asked.jsonl", "--samples", "8", "--stop-at", "0.6", "--wave", "2", "--json"]
    first = run_nsad(home, *arguments)
    assert first.returncode == 0, first.stderr
    assert "asked.jsonl:2:" in first.stderr
    assert "asked.jsonl:4:" in first.stderr
    found = json.loads(first.stdout)["solutions"]
    assert [item["question"] for item in found] == [asked[0], asked[2]]
    assert found[0]["gold"] == "7"
    assert "gold" not in found[1]
    for item in found:
        stopped = item["stopped"]
        assert stopped["chains"] == len(item["chains"])
        assert stopped["of"] == 8
        assert stopped["chains"] % 2 == 0
        assert stopped["sure"] >= 0.6 or stopped["chains"] == 8
    with sqlite3.connect(home / "runs" / "tiny" / "chains.sqlite") as store:
        count = store.execute("SELECT COUNT(*), MAX(created) FROM chains WHERE text <> ''").fetchone()
    again = run_nsad(home, *arguments)
    assert json.loads(again.stdout)["solutions"] == found, "what is kept is what was sampled"
    with sqlite3.connect(home / "runs" / "tiny" / "chains.sqlite") as store:
        assert store.execute("SELECT COUNT(*) FROM chains WHERE text <> ''").fetchone()[0] == count[0]
    shown = run_nsad(home, "solve", "--file", "asked.jsonl", "--samples", "2", NO_COLOR="1")
    assert "of 1 right" in shown.stdout
    assert "2 solved" in shown.stdout
    assert "\x1b" not in shown.stdout


@pytest.mark.slow
def test_a_stopped_list_goes_on(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    count = 80
    (home / "many.txt").write_text("".join(f"Ana has {i} cups. How many?\n" for i in range(count)))
    environment = {**os.environ, "HOME": str(home), "NSAD_HOME": str(home / "runs"), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "nsad_cli", "solve", "--file", "many.txt", "--samples", "4"]
    with subprocess.Popen(
        arguments, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "to resume" in told, told
    assert "Traceback" not in told, told
    done = [line, *rest.splitlines()]
    assert len(done) < count
    whole = run_nsad(home, "solve", "--file", "many.txt", "--samples", "4").stdout.splitlines()
    assert len(whole) == count + 1
    assert [item.rstrip() for item in done] == [item.rstrip() for item in whole[: len(done)]]


def test_votes_grow_in_a_terminal(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    with Terminal(home, "solve", "Ana has 5 cups. How many?", "--samples", "3") as terminal:
        code, stdout = terminal.end("")
        raw = terminal.raw
    assert code == 0
    assert "of 3 chains" in raw
    assert "\x1b[?25l" in raw, "it is drawn anew, with the cursor hidden"
    assert raw.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in raw, "and the cursor comes back"
    assert "Chains" in stdout
    assert "\x1b" not in stdout


def test_comparing(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    result = run_nsad(home, "eval", "--compare", "tiny:nat", "tiny:nce", "--json")
    value = json.loads(result.stdout)
    assert value["a"] == "tiny:nat"
    assert value["b"] == "tiny:nce"
    rows = {row["rule"]: row for row in value["comparison"]}
    assert value["left_out"] == []
    assert [list(row["stages"]) for row in value["models"]] == [["negative", "nat"], ["negative", "nat", "nce"]]
    assert value["models"][0]["parameters"] > value["models"][1]["parameters"] > 0
    assert "left out" not in result.stderr
    assert {None, "sc", "asc", "any", "mean"} <= set(rows)
    assert rows[None]["n"] == 4
    assert 0 < rows[None]["p"] <= 1
    assert "bootstrap" in run_nsad(home, "eval", "--compare", "tiny:base", "tiny").stdout
    assert "itself" in failure(run_nsad(home, "eval", "--compare", "tiny", "tiny:nce"), 2)[0]
    assert "nsad train-baseline mix" in failure(run_nsad(home, "eval", "--compare", "tiny:mix", "tiny"), 1)[2]
    (home / "one.jsonl").write_text('{"question": "1 + 1", "answer": 2}\n')
    none = run_nsad(home, "eval", "--compare", "tiny:nat", "tiny", "--problems", "jsonl@one.jsonl")
    assert "nsad eval --run tiny --model nat" in failure(none, 1)[2]
    fewer = run_nsad(home, "eval", "--compare", "tiny:nat", "tiny", "--samples", "9", "--json")
    (left,) = json.loads(fewer.stdout)["left_out"]
    assert left["what"] == ["votes"]
    assert "2 chains are stored of both, not 9" in left["why"]
    assert left["why"] in fewer.stderr
    _, why, fix = failure(run_nsad(home, "eval", "--compare", "tiny", "tiny@server:m", "--samples", "3"), 1)
    assert "hf (tiny:nce)" in why
    assert "`nsad eval --run tiny --model nce --engine server:m@URL --samples 3`" in fix
    assert "unknown engine" in failure(run_nsad(home, "eval", "--compare", "tiny", "tiny@serve"), 2)[0]


def test_eval_and_stats(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    result = run_nsad(
        home, "eval", "--model", "nce", "--problems", "arithmetic:test", "--limit", "2", "--samples", "2", "--json"
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    rows = report["results"]
    assert {row["rule"] for row in rows} == {None, "sc", "wsc", "asc", "asc-add", "asc-add2", "best", "any", "mean"}
    assert {row["rule"] for row in report["stopping"]} == {"sc", "wsc", "asc", "asc-add", "asc-add2"}
    assert all(row["chains"] <= row["of_chains"] == 4 for row in report["stopping"])
    assert all(row["n"] == 2 and 0 <= row["ci95"][0] <= row["accuracy"] <= row["ci95"][1] <= 1 for row in rows)
    table = run_nsad(home, "eval", "--limit", "2", "--samples", "0", NO_COLOR="1")
    assert "greedy" in table.stdout
    assert "\x1b" not in table.stdout
    stats = json.loads(run_nsad(home, "stats", "--json").stdout)
    assert stats["run"] == "tiny"
    assert stats["ledger"]
    assert stats["stages"]["nce"]["state"] == "finished"
    assert "correct" in run_nsad(home, "stats").stdout


def test_runs(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    assert json.loads(run_nsad(home, "runs", "--json").stdout)["runs"][0]["run"] == "tiny"
    assert run_nsad(home, "runs", "use", "tiny").returncode == 0
    assert "(chosen)" in run_nsad(home, "runs").stdout
    assert run_nsad(home, "runs", "use").returncode == 0
    failure(run_nsad(home, "runs", "use", "tini"), 2)


def test_export(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    result = run_nsad(home, "export", "--run", "tiny", "out/merged", "--json")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["run"] == "tiny"
    assert value["folder"] == str(home / "out" / "merged")
    assert value["kind"] == "merged"
    assert "{question}" in value["template"]
    assert (home / "out" / "merged" / "model.safetensors").is_file()
    assert "not empty" in failure(run_nsad(home, "export", "out/merged"), 1)[0]
    lora = run_nsad(home, "export", "out/lora", "--lora", "--json")
    assert lora.returncode == 0
    assert json.loads(lora.stdout)["weights"] == value["weights"]
    nat = run_nsad(home, "export", "out/nat", "--for", "vllm", "--model", "nat")
    assert nat.returncode == 0, nat.stderr
    assert f"vllm serve {home / 'out' / 'nat'} --served-model-name nat --dtype float32" in nat.stderr, nat.stderr
    assert "exclude each other" in failure(run_nsad(home, "export", "out/x", "--for", "vllm", "--lora"), 2)[0]
    assert "needs --for" in failure(run_nsad(home, "export", "out/x", "--model", "nat"), 2)[0]
    assert (
        "models: negative, nat" in failure(run_nsad(home, "export", "out/x", "--for", "vllm", "--model", "base"), 2)[2]
    )
    failure(run_nsad(home, "export", "out/x", "--for", "ollama"), 2)
    assert [path.name for path in (home / "out").iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_rationales_out_and_in(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    tiny, elsewhere = ["--run", "tiny", "--json"], {"NSAD_HOME": "elsewhere"}
    for name in ("d/rows.jsonl", "d/rows.parquet", "d/rows"):
        value = json.loads(run_nsad(home, "data", "export", name, *tiny).stdout)
        assert value["path"] == str(home / name)
        assert value["format"] == "unpaired"
        assert value["rows"] == value["right"] + value["wrong"]
        assert value["right"] > 10
        assert value["wrong"] > 10
        arguments = ["data", "import", name, "--run", name.replace("/", "-"), "--json"]
        for _ in range(2):  # a second time changes nothing
            result = run_nsad(home, *arguments, **elsewhere)
            found = json.loads(result.stdout)
            assert found["graded"] == found["rationales"] == value["rows"], result.stderr
            assert found["labelled"] == 0, result.stderr
            assert found["verdicts"] == {"correct": value["right"], "wrong": value["wrong"]}
    assert "already done" in result.stderr
    pairs = run_nsad(home, "data", "export", "d/pairs", "--format", "preference", "--run", "tiny")
    assert pairs.returncode == 0
    assert "rows of preference" in pairs.stderr
    wrong = run_nsad(home, "data", "export", "d/w.jsonl", "--format", "prompt-completion", "--side", "wrong", *tiny)
    assert json.loads(wrong.stdout)["rows"] == value["wrong"]
    assert "already" in failure(run_nsad(home, "data", "export", "d/rows.jsonl", *tiny), 1)[0]
    assert "not empty" in failure(run_nsad(home, "data", "export", "d/rows", *tiny), 1)[0]
    assert "unpaired" in failure(run_nsad(home, "data", "export", "d/x", "--format", "unpared", *tiny), 2)[2]
    failure(run_nsad(home, "data", "import", "d/rows.jsonl", *tiny), 2)
    failure(run_nsad(home, "data", "import", "d/none.parquet"), 1)
    run_nsad(home, "collect", "--problems", "arithmetic:train", "--limit", "2", "--run", "early", **elsewhere)
    assert "nsad grade" in failure(run_nsad(home, "data", "export", "d/y", "--run", "early", **elsewhere), 2)[2]


def test_overlap(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = trained
    copied = next(problems("train", 1)).question
    rows = [{"question": question, "answer": "1"} for question in (copied, copied.replace("has", "had"), "Why?")]
    (home / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run_nsad(home, "stats", "--overlap", "jsonl@asked.jsonl, arithmetic:test", "--run", "tiny", "--json")
    value = json.loads(result.stdout)
    mine, test = value["overlap"]
    assert value["training"] == 20
    assert (mine["benchmark"], test["benchmark"]) == ("jsonl", "arithmetic:test")
    assert mine["same"] == 1
    assert mine["overlaps"] == len(mine["pairs"])
    assert mine["pairs"][0]["training"] == copied
    assert test["same"] == 0
    assert test["problems"] == 100
    shown = run_nsad(home, "stats", "--overlap", "jsonl@asked.jsonl", "--run", "tiny").stdout
    assert "same and words and numbers" in " ".join(shown.split())
    assert copied[:60] in shown
    assert "math" in failure(run_nsad(home, "stats", "--overlap", "mathh", "--run", "tiny"), 2)[2]
    failure(run_nsad(home, "stats", "--overlap", "", "--run", "tiny"), 2)


def test_the_stages_one_by_one(nsad: Nsad, tiny_llama: Path) -> None:
    settings = [
        "--set",
        "adapter.dropout=0",
        "--student",
        str(tiny_llama),
        "--device",
        "cpu",
        "--epochs",
        "1",
        "--batch-size",
        "8",
    ]
    collected = nsad(
        "collect",
        "--teacher",
        "arithmetic",
        "--problems",
        "arithmetic:train",
        "--limit",
        "12",
        "-k",
        "3",
        "--run",
        "mine",
        "--json",
    )
    assert json.loads(collected.stdout)["draws"] == 36, collected.stderr
    more = nsad("collect", "-k", "4", "--run", "mine", "--json")
    assert json.loads(more.stdout)["new"] == 12
    ledger = json.loads(nsad("grade", "--run", "mine", "--json").stdout)
    assert ledger["verdicts"]["correct"] > 15
    assert ledger["verdicts"]["wrong"] > 8
    nat = nsad("train-nat", "--run", "mine", "--json", *settings)
    assert nat.returncode == 0, nat.stderr
    assert json.loads(nat.stdout)["stages"].keys() == {"negative", "nat"}
    failure(nsad("train-ranker", "--run", "mine"), 2)
    nce = nsad("train-nce", "--run", "mine", *settings)
    assert nce.returncode == 0
    assert "nsad train-ranker --run mine" in nce.stderr
    rivals = nsad("train-baseline", "mix", "nat-control", "--run", "mine", "--tokens", "300", "--json")
    assert json.loads(rivals.stdout)["stages"].keys() == {"mix", "positive", "nat-control"}, rivals.stderr
    assert "nat-control" in " ".join(failure(nsad("train-baseline", "nat-controll", "--run", "mine"), 2))
    solved = nsad("solve", "1 + 1 = ?", "--samples", "2", "--json", "--run", "mine", NSAD_DEVICE="cpu")
    assert json.loads(solved.stdout)["rule"] == "sc"
    assert "no ranker" in solved.stderr


def test_vote(nsad: Nsad, tmp_path: Path) -> None:
    row = {"id": "x", "gold": "4", "chains": [{"text": "", "answer": "4", "weight": 0.9}, {"text": "", "answer": "5"}]}
    (tmp_path / "v.jsonl").write_text(json.dumps(row) + "\nnot json\n")
    result = nsad("vote", str(tmp_path / "v.jsonl"), "--rule", "asc", "--json")
    interval = {"ci95": [pytest.approx(0.2065, abs=1e-4), 1.0]}
    assert json.loads(result.stdout) == {"rule": "asc", "n": 1, "accuracy": 1.0, **interval}
    assert "v.jsonl:2:" in result.stderr
    lines = nsad("vote", str(tmp_path / "v.jsonl"), "--stop-at", "0.6").stdout.splitlines()
    assert lines[0].startswith("sc: 1 of 1 right")
    assert lines[1].startswith("sc, stopped at 0.6: 1 of 1 right")
    early = json.loads(nsad("vote", str(tmp_path / "v.jsonl"), "--stop-at", "0.6", "--json").stdout)
    stopped = {"accuracy_stopped": 1.0, "chains": 0.5, "same": 1.0}
    assert early == {"rule": "sc", "n": 1, "accuracy": 1.0, **interval, **stopped}
    failure(nsad("vote", str(tmp_path / "v.jsonl"), "--rule", "wsc"), 2)
    failure(nsad("vote", str(tmp_path / "none.jsonl")), 1)
    failure(nsad("vote", str(tmp_path / "v.jsonl"), "--rule", "majority"), 2)


def test_doctor(nsad: Nsad) -> None:
    result = nsad("doctor", "--json", OPENAI_API_KEY="sk-very-secret", HF_ENDPOINT="http://127.0.0.1:9")
    value = json.loads(result.stdout)
    checks = {check["name"]: check for check in value["checks"]}
    assert checks["torch"]["state"] == "ok"
    assert checks["hub"]["state"] == "absent"
    assert checks["key"]["state"] == "ok"
    assert "secret" not in result.stdout + result.stderr
    assert result.stderr == "", "no progress unless stderr is a terminal"
    assert result.returncode == (0 if value["ok"] else 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], 2, "nonsense"),
        (["solve"], 2, "PROBLEM"),
        (["collect", "--draws", "many"], 2, "--draws"),
        (["solve", "1+1"], 2, "no run yet"),
        (["run", "no-such-recipe"], 2, "shipped"),
        (["run", "gsm8k-solutions-smollm2"], 2, "NSAD_DATA"),
        (["run", "demo", "--set", "training.nat.epoch=1"], 2, "epochs"),
        (["run", "demo", "--set", "nonsense"], 2, "KEY=VALUE"),
        (["collect", "--teacher", "gpt-4", "--problems", "arithmetic:train"], 1, "OPENAI_API_KEY"),
        (["collect", "--teacher", "tdg:/no/such/folder"], 1, "no such file"),
        (["collect", "--problems", "gsm8k@/no/such/file"], 1, "no data at"),
        (["collect", "--problems", "gsmk8@x"], 2, "gsm8k"),
        (["solve", "  "], 2, "empty"),
        (["solve", "1+1", "--file", "q.txt"], 2, "--file"),
        (["solve", "--file", "no-such-file.txt"], 1, "cannot read"),
        (["solve", "1+1", "--rule", "any"], 2, "asc-add"),
        (["solve", "1+1", "--engine", "none"], 2, "hf"),
        (["eval", "--engine", "none"], 2, "hf"),
        (["eval", "--compare", "one"], 2, "--compare"),
    ],
)
def test_bad_input_is_told_in_three_lines(nsad: Nsad, arguments: list[str], code: int, words: str) -> None:
    lines = failure(nsad(*arguments), code)
    assert words in " ".join(lines), lines


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        ("solve -", b"What is \xff\xfe?", "not UTF-8"),
        ("solve - <&-", b"", "standard input is closed"),
        ("solve - >&-", b"1+1", "standard output is closed"),
        ("--version >/dev/full", b"", "No space left"),
        ("solve 'What is \udcff?'", b"", "not UTF-8"),
    ],
)
def test_a_stream_that_cannot_be_used_is_told(tmp_path: Path, command: str, text: bytes, words: str) -> None:
    shell = f"exec {sys.executable} -m nsad_cli {command}"
    result = subprocess.run(
        ["sh", "-c", os.fsencode(shell)], check=False, cwd=tmp_path, input=text, capture_output=True
    )
    lines = result.stderr.decode().splitlines()
    assert result.returncode in (1, 2), lines
    assert result.stdout == b"", lines
    assert len(lines) == 3, lines
    assert words in lines[0] + lines[1]
    assert lines[1].startswith("  why: ")
    assert lines[2].startswith("  try: ")


def test_nobody_needs_to_read(tmp_path: Path) -> None:
    (tmp_path / "chains.jsonl").write_text('{"id": "a", "gold": "7", "chains": [{"text": "", "answer": "7"}]}\nbad\n')
    shell = f"{sys.executable} -m nsad_cli vote chains.jsonl --json 2>&-; {sys.executable} -m nsad_cli --help | true"
    result = subprocess.run(["sh", "-c", shell], check=False, cwd=tmp_path, capture_output=True)
    assert json.loads(result.stdout)["accuracy"] == 1.0
    assert result.stderr == b""


def test_a_malformed_recipe_names_its_line(nsad: Nsad, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("seed: 1\ntraining: {nat: [\n")
    assert "line 3" in failure(nsad("run", str(tmp_path / "bad.yaml")), 2)[0]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: folder.mkdir(), "config.json"),
        (lambda _: None, "no such folder"),
        (lambda folder: (folder.mkdir(), (folder / "config.json").write_text("{}")), "cannot load"),
    ],
)
def test_a_student_that_is_not_one(nsad: Nsad, tmp_path: Path, prepare: Callable[[Path], Any], words: str) -> None:
    folder = tmp_path / "model"
    prepare(folder)
    result = nsad("run", "demo", "--student", str(folder), "--set", "problems.limit=5")
    assert words in " ".join(failure(result, 1))


def test_a_hub_that_cannot_be_reached(nsad: Nsad) -> None:
    result = nsad(
        "run",
        "demo",
        "--student",
        "someone/some-model",
        "--set",
        "problems.limit=5",
        HF_ENDPOINT="http://127.0.0.1:9",
        HTTPS_PROXY="",
        https_proxy="",
    )
    assert "PATH" in failure(result, 1)[2]


def test_a_run_of_another_version(nsad: Nsad, tmp_path: Path) -> None:
    nsad("collect", "--teacher", "arithmetic", "--problems", "arithmetic:train", "--limit", "2", "--run", "old")
    manifest = tmp_path / "home" / "runs" / "old" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 0}))
    assert "format 0" in failure(nsad("grade", "--run", "old"), 1)[0]
    assert "unreadable" in nsad("runs").stdout


def test_without_a_name_commands_work_on_the_run_just_made(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """`solve` and `eval` want the newest run with a student; `grade` and the rest the newest."""
    home, _ = trained
    run_nsad(home, "collect", "--teacher", "arithmetic", "--problems", "arithmetic:train", "--limit", "2")
    assert json.loads(run_nsad(home, "grade", "--json").stdout)["run"] != "tiny"
    assert "run: tiny" in run_nsad(home, "solve", "1 + 1?", "--samples", "1", "--json").stderr


def test_solving_a_benchmark_question_does_not_spoil_its_evaluation(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = trained
    arguments = ("eval", "--run", "tiny", "--model", "nce", "--limit", "2", "--samples", "2", "--json")
    before = run_nsad(home, *arguments).stdout
    question = next(problems("test", 1)).question
    assert run_nsad(home, "solve", question, "--run", "tiny", "--samples", "2").returncode == 0
    assert run_nsad(home, *arguments).stdout == before
    assert json.loads(before)["results"]


def test_an_edited_problems_file_is_read_again(nsad: Nsad, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    question = next(problems("train", 1)).question
    path.write_text(json.dumps({"question": question, "answer": "18"}) + '\n{"question": "\\ud83d", "answer": "1"}\n')
    arguments = (
        "collect",
        "--teacher",
        "arithmetic",
        "--problems",
        f"jsonl@{path}",
        "-k",
        "2",
        "--run",
        "mine",
        "--json",
    )
    first = nsad(*arguments)
    assert json.loads(first.stdout)["problems"] == 1
    assert "p.jsonl:2:" in first.stderr
    assert json.loads(nsad("grade", "--run", "mine", "--json").stdout)["verdicts"].get("correct") is None
    path.write_text(json.dumps({"question": question, "answer": next(problems("train", 1)).answer}))
    assert json.loads(nsad(*arguments).stdout)["new"] == 0
    assert json.loads(nsad("grade", "--run", "mine", "--json").stdout)["verdicts"]["correct"] > 0
    other = nsad("collect", "--run", "mine", "--store", str(tmp_path / "other.sqlite"))
    assert "store.sqlite" in " ".join(failure(other, 2))


def test_a_mistake_is_told_with_its_own_file(nsad: Nsad, tmp_path: Path) -> None:
    config = tmp_path / "home" / "config" / "nsad" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("studnet: {}\n")
    assert "config.yaml" in failure(nsad("run", "demo"), 2)[0]


def test_debug_shows_the_traceback(nsad: Nsad) -> None:
    result = nsad("solve", "1+1", "--debug")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "error: " in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_told_and_exits_130(tiny_llama: Path, tmp_path: Path, number: signal.Signals) -> None:
    long = {"negative": {**STAGE, "epochs": 2_000}}  # must not end before the signal
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe(tiny_llama, training=long).model_dump(mode="json")))
    # A shell that runs the tests in the background has them ignore Ctrl-C, and their children with them; a child that
    # starts while there is a handler gets the default instead.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "nsad_cli", "run", "tiny.yaml"],
        cwd=tmp_path,
        env={**os.environ, "NSAD_HOME": "runs", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("loading the student"):
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert [line.strip().partition(":")[0] for line in stderr.splitlines()[-3:]] == ["error", "why", "try"]
    assert "to resume" in stderr


def test_an_interrupt_in_generated_code_exits_130_too(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "from nsad_cli.cli import main\nmain.app = lambda *_, **__: exec('raise KeyboardInterrupt')\nmain.main()\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    result = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 130
    assert result.stderr.startswith("error: interrupted")
