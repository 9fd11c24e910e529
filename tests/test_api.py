"""The Python API: its names, its examples, and what importing it loads."""

from __future__ import annotations

import doctest
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import nsad_cli
from nsad_cli import api
from nsad_cli.errors import UsageError
from tests.helpers.recorded_run import unpack

if TYPE_CHECKING:
    from pathlib import Path


FUNCTIONS = [
    *("load_run", "grade", "make_chains", "vote", "explain_vote"),
    *(pytest.param(name, marks=pytest.mark.model) for name in ("solve", "solve_all", "add_nat", "train", "evaluate")),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("recorded"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_print_what_they_say(name: str, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recorded)
    monkeypatch.setenv("NSAD_HOME", "runs")
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs=dict(vars(api)))
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    result = runner.run(example, out=report.append)
    assert result.attempted
    assert not result.failed, "".join(report)


def test_the_package_offers_the_api_lazily() -> None:
    assert {*nsad_cli.__all__} == {*api.__all__, "__version__"}
    assert {*api.__all__} <= set(dir(nsad_cli))
    assert all(getattr(nsad_cli, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        _ = nsad_cli.solv
    code = (
        "import sys, nsad_cli\nassert 'nsad_cli.api' not in sys.modules\nnsad_cli.vote\n"
        "print(sorted({'torch', 'transformers', 'peft', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_documents_arguments_and_results(name: str) -> None:
    text = getattr(api, name).__doc__
    assert "Args:" in text
    assert "Returns:" in text or "Yields:" in text
    assert "Examples:" in text


def test_a_vote_without_its_weights_is_refused() -> None:
    with pytest.raises(UsageError):
        api.vote(api.make_chains(["1", "2"]), "asc")


def test_an_explanation_names_other_rules_and_the_smallest_flip() -> None:
    chains = api.make_chains(["7", "7", "8"], weights=[0.1, 0.1, 0.9], gold="8")
    found = api.explain_vote(chains)
    assert found.results["asc"].ballot.answer == "8"
    assert found.results["asc"].flip == (2,)
    assert found.results["sc"].ballot.answer == "7"
    assert "log-probabilit" in f"{found.unavailable['wsc']}"
    assert [chain.correct for chain in chains] == [False, False, True]
    single = api.explain_vote(api.make_chains(["7", "7"]))
    assert single.results["sc"].flip == "no chain has another answer"
    assert "asc" in single.unavailable


def test_texts_and_golds_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="shorter"):
        api.grade(["1", "2"], ["1"])
