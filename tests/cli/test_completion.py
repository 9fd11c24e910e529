"""Shell completion: the program itself answers what a shell asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.nsad_process import run_nsad
from tests.helpers.run_folders import make_run

if TYPE_CHECKING:
    from pathlib import Path


def completed(home: Path, words: str) -> list[str]:
    """What bash would offer for the last of some words."""
    asked = {"_NSAD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = run_nsad(home, **asked)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("nsad tra", {"train-nat", "train-nce", "train-ranker", "train-baseline"}),
        ("nsad solve --st", {"--stop-at"}),
        ("nsad solve --run m", {"mine", "my-other"}),
        ("nsad runs rm mi", {"mine"}),
        ("nsad run negatives-", set()),
        ("nsad run dem", {"demo"}),
        ("nsad study negatives-few", {"negatives-few-right"}),
        ("nsad eval --problems svamp:te", {"svamp:test"}),
        ("nsad eval --rule x", set()),
        ("nsad vote --rule asc", {"asc", "asc-add", "asc-add2"}),
        ("nsad run demo --set training.nce.la", {"training.nce.lam="}),
        ("nsad eval --model nc", {"nce"}),
    ],
)
def test_the_shell_is_offered(tmp_path: Path, words: str, offered: set[str]) -> None:
    for name in ("mine", "my-other"):
        make_run(tmp_path / "runs", name, {})
    assert set(completed(tmp_path, words)) == offered


def test_a_home_that_cannot_be_read_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    assert completed(tmp_path, "nsad solve --run ") == []


def test_the_scripts_of_the_shells_are_printed(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_NSAD_COMPLETE" in run_nsad(tmp_path, "--show-completion", shell).stdout


def test_help_is_a_command_too(tmp_path: Path) -> None:
    assert run_nsad(tmp_path, "help", "runs", "rm").stdout == run_nsad(tmp_path, "runs", "rm", "--help").stdout
    assert run_nsad(tmp_path, "help").stdout == run_nsad(tmp_path, "--help").stdout
