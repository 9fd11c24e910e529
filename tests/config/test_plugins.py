"""Plugins: the package of docs/plugins.md, one entry of each kind, installed and used by the commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.helpers.plugin_package import example_files, install_example
from tests.helpers.recorded_run import QUESTION, nsad, run_command, unpack

if TYPE_CHECKING:
    from pathlib import Path

MODULES = ("teacher", "problems", "checker", "objective", "ranker")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install_example(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def with_ranker(home: Path, example: dict[str, str]) -> Path:
    """The recorded run, whose ranker is the example's."""
    trained, _ = nsad(home, "train-ranker", "--kind", "length", "--run", "recorded", variables=example)
    assert trained["stages"]["ranker"]["kind"] == "length"
    assert trained["stages"]["ranker"]["trained_parameters"] == 2
    return home


def test_the_document_has_one_module_for_each_group() -> None:
    assert sorted(example_files()) == sorted(["pyproject.toml", *(f"nsad_example/{name}.py" for name in MODULES)])


def test_teacher_and_benchmark(tmp_path: Path, example: dict[str, str]) -> None:
    (tmp_path / "sums.txt").write_text("17 + 25\n8 + 9\nnonsense\n")
    command = ("collect", "--teacher", "sums", "--problems", "sum-list@sums.txt", "--draws", "3", "--run", "new")
    collected, notes = nsad(tmp_path, *command, variables=example)
    assert collected["draws"] == 6
    assert "sums.txt:3: not a sum" in notes
    graded, _ = nsad(tmp_path, "grade", "--run", "new", variables=example)
    assert graded["verdicts"] == {"correct": 4, "wrong": 2}
    _, again = nsad(tmp_path, *command, variables=example)
    assert "already done" in again
    planned, _ = nsad(
        tmp_path, "collect", "--teacher", "sums", "--problems", "sum-list@sums.txt", "--dry-run", variables=example
    )
    assert planned


def test_checker(tmp_path: Path, example: dict[str, str]) -> None:
    rows = [
        {"question": f"Formula {i}?", "answer": gold, "generated_answer": [f"The answer is \\boxed{{{answer}}}."]}
        for i, (gold, answer) in enumerate([("H_2O", "OH_2"), ("CO_2", "CO_3"), ("H_2O", "x_2")])
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run_command(tmp_path, "collect", "--teacher", "jsonl:rows.jsonl", "--run", "formulas")
    without, _ = nsad(tmp_path, "grade", "--run", "formulas")
    assert without["verdicts"] == {"disputed": 3}
    graded, _ = nsad(tmp_path, "grade", "--run", "formulas", variables=example)
    assert graded["verdicts"] == {"correct": 1, "wrong": 1, "disputed": 1}
    removed, _ = nsad(tmp_path, "grade", "--run", "formulas")
    assert removed["verdicts"] == {"disputed": 3}


def test_objective(home: Path, example: dict[str, str]) -> None:
    trained, _ = nsad(home, "train-baseline", "focal", "--run", "recorded", variables=example)
    assert trained["stages"]["focal"]["trained_parameters"] > 0


def test_ranker(with_ranker: Path, example: dict[str, str]) -> None:
    arguments = ("solve", QUESTION, "--run", "recorded", "--samples", "4", "--rule", "asc")
    solved, _ = nsad(with_ranker, *arguments, variables=example)
    weights = [chain["weight"] for chain in solved["chains"] if chain["text"].strip()]
    assert weights
    assert all(0 < weight < 1 for weight in weights)
    planned, _ = nsad(
        with_ranker, "run", "recipe.yaml", "--plan", "--set", "training.ranker.kind=length", variables=example
    )
    assert any(stage["stage"] == "ranker" for stage in planned["stages"])


def test_a_run_whose_plugin_is_gone_still_answers(with_ranker: Path) -> None:
    solved, _ = nsad(with_ranker, "solve", QUESTION, "--run", "recorded", "--samples", "4", "--rule", "sc")
    assert len(solved["chains"]) == 4
    weighted, notes = nsad(with_ranker, "solve", QUESTION, "--run", "recorded", "--samples", "4", "--rule", "asc")
    assert weighted["rule"] == "sc"
    assert "its kind `length` comes from a plugin" in notes
    untrained = run_command(with_ranker, "train-ranker", "--force", "--run", "recorded", code=1)
    assert "the ranker `length` cannot be used" in untrained.stderr
    unknown = run_command(with_ranker, "train-ranker", "--kind", "lenght", "--run", "recorded", code=2)
    assert "invalid value `lenght` of --kind" in unknown.stderr


@pytest.mark.parametrize(
    ("module", "command", "code"),
    [
        ("teacher", ("collect", "--teacher", "sums", "--problems", "arithmetic:test", "--run", "x"), 1),
        ("problems", ("collect", "--teacher", "arithmetic", "--problems", "sum-list@recipe.yaml", "--run", "x"), 1),
        ("checker", ("grade", "--run", "recorded", "--force"), 0),
        ("objective", ("train-baseline", "focal", "--run", "recorded"), 2),
        ("ranker", ("train-ranker", "--kind", "length", "--run", "recorded", "--force"), 1),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_in_one_line(
    home: Path, tmp_path: Path, module: str, command: tuple[str, ...], code: int
) -> None:
    broken = install_example(tmp_path / "site", **{module: "raise RuntimeError('a fault of the plugin')"})
    done = run_command(home, *command, variables=broken, code=code)
    lines = [line for line in done.stderr.splitlines() if "a fault of the plugin" in line]
    assert len(lines) == (0 if module == "checker" else 1), done.stderr
    assert all("nsad-example" in line for line in lines)


def test_an_unbroken_plugin_is_not_imported_by_commands_that_do_not_use_it(home: Path, tmp_path: Path) -> None:
    unused = install_example(tmp_path / "site", teacher="raise RuntimeError", problems="raise RuntimeError")
    done = run_command(home, "solve", QUESTION, "--run", "recorded", "--samples", "2", variables=unused)
    assert "plugin" not in done.stderr
