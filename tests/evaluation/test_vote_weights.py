"""The ablation of the weights of votes, on chains and scores made by hand; no model is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.engine_spec import EngineSpec
from nsad_cli.errors import UsageError
from nsad_cli.evaluation.comparison import Selection, compare_weights
from nsad_cli.evaluation.stored_chains import Side
from nsad_cli.evaluation.vote_variants import RankerScores
from nsad_cli.grading.checker import Checker
from nsad_cli.rankers.calibration import Calibration, sigmoid
from nsad_cli.rankers.metadata import read_scoring
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.weighting import Weighting
from nsad_cli.types import Chain, Score
from tests.helpers.compared_runs import WRONG, add_ranker, answer, make_benchmark, make_run, score

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nsad_cli.runs.run import Run

ODDS = {"form": "odds", "exponent": 2.0}
TRAINED = {"nce": {"tokens": 10, "trained_parameters": 4}}
VOTES = "+-- +-- --- +++"
"""Two problems whose one right chain is outvoted, one without a right chain, one with right chains alone."""


@pytest.fixture
def checker() -> Iterator[Checker]:
    with Checker() as found:
        yield found


def ablation(run: Run, spec: str, checker: Checker) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows by score, weights and rule."""
    result = compare_weights(Selection([Side(run, "nce", EngineSpec())], [], [spec]), checker)
    return {(row["score"], row["weights"], row["rule"]): row for row in result["weights"]}


def reasons(run: Run, spec: str, checker: Checker) -> list[str]:
    result = compare_weights(Selection([Side(run, "nce", EngineSpec())], [], [spec]), checker)
    return [item["why"] for item in result["left_out"]]


def logit(chain: Chain) -> float:
    """What the ranker says of a chain: right ones score higher."""
    return -2.0 if chain.answer == WRONG else 2.0


def scored_run(spec: str, weights: str = "fitted", **ranker: Any) -> Run:
    """A run whose ranker has scored all chains with a value of `solve.weights`."""
    run = make_run("a", [spec], TRAINED, solve={"weights": weights})
    answer(run, "nce", spec, "----", VOTES)
    name = add_ranker(run, **{"calibration": (0.5, 0.1), "weighting": ODDS, "likelihood": 4.0, **ranker})
    scoring = read_scoring(run.adapter_path("ranker")).with_weights(weights)
    name += "" if weights == "fitted" else f"-{weights}"
    score(run, "nce", spec, name, lambda _, chain: scoring.score(logit(chain), chain))
    return run


def test_each_way_to_weight_is_compared_with_counting(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    rows = ablation(scored_run(spec), spec, checker)
    counted = rows["none", "one each", "sc"]
    assert (counted["n"], counted["samples"], counted["accuracy"], counted["p"]) == (4, 3, 0.25, None)
    fitted = rows["ranker (head)", "fitted: odds^2", "asc"]
    assert (fitted["accuracy"], fitted["won"], fitted["lost"], fitted["p"]) == (0.75, 2, 0, 0.5)
    assert fitted["difference"] == 0.5
    assert fitted["difference_ci95"][0] < 0.5 < fitted["difference_ci95"][1]
    # calibrated: σ(±1 + 0.1) = 0.750 against 2 × 0.289; raw: σ(±2) = 0.881 against 2 × 0.119
    assert rows["ranker (head)", "calibrated", "asc"]["accuracy"] == 0.75
    assert rows["ranker (head)", "raw", "asc"]["accuracy"] == 0.75
    # 1 + 0.750 against 2 × 1.289, and 1 + 2 × 0.881 against 2 × (1 + 2 × 0.119)
    assert rows["ranker (head)", "calibrated", "asc-add"]["accuracy"] == 0.25
    assert rows["ranker (head)", "raw", "asc-add2"]["accuracy"] == 0.75
    assert rows["ranker (head)", "calibrated", "asc-add2"]["accuracy"] == 0.25
    assert rows["ranker (head)", "highest", "best"]["accuracy"] == 0.75
    assert rows["none", "upper bound", "any"]["accuracy"] == 0.75
    assert ("ranker (head)", "fitted: odds^2", "asc-add") not in rows, "it adds the probability: see calibrated"


def test_free_scores_need_no_ranker(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = make_run("a", [spec], TRAINED)
    # r: a wrong answer with right steps; c: a wrong answer that is likely
    answer(run, "nce", spec, "----", "+-- +rr +cc +++")
    rows = ablation(run, spec, checker)
    assert rows["none", "one each", "sc"]["accuracy"] == 0.25
    assert rows["step checks", "share^4", "asc"]["accuracy"] == 0.75, "all but the second problem"
    # exp(−0.25) = 0.779 against 2 × exp(−1) = 0.736, or 2 × 0.779
    assert rows["log probability", "probability", "wsc"]["accuracy"] == 0.75, "all but the third problem"
    assert rows["log probability", "highest", "best"]["accuracy"] == 1.0, "a tie goes to the first chain"
    assert not [key for key in rows if key[0].startswith("ranker")]
    assert reasons(run, spec, checker) == ["a has no ranker that scores its current nce"]


@pytest.mark.parametrize("weights", ["fitted", "calibrated", "raw"])
def test_the_weights_are_the_same_whichever_of_them_is_stored(tmp_path: Path, checker: Checker, weights: str) -> None:
    spec = make_benchmark(tmp_path, 4)
    rows = ablation(scored_run(spec, weights), spec, checker)
    accuracies = {key[1:]: row["accuracy"] for key, row in rows.items() if key[0] == "ranker (head)"}
    assert accuracies == {
        ("fitted: odds^2", "asc"): 0.75,
        ("calibrated", "asc"): 0.75,
        ("calibrated", "asc-add"): 0.25,
        ("calibrated", "asc-add2"): 0.25,
        ("raw", "asc"): 0.75,
        ("raw", "asc-add"): 0.25,
        ("raw", "asc-add2"): 0.75,
        ("highest", "best"): 0.75,
    }


@pytest.mark.parametrize("z", [-30.0, -1.3, 0.0, 2.5, 30.0])
def test_a_logit_is_recovered_from_the_stored_probability(z: float) -> None:
    scoring = Scoring(Calibration(0.7, -0.2), Weighting("odds", 2.0), 4.0)
    chain = Chain("p", 0, "text", "1", logprobs=(-0.5,))
    for weights in ("fitted", "calibrated", "raw"):
        stored = RankerScores("head", scoring, weights, "head-x")
        found = stored.logit(chain.scored(scoring.with_weights(weights).score(z, chain)))
        assert found is not None
        assert math.isclose(sigmoid(found), sigmoid(z), rel_tol=1e-3, abs_tol=1e-12)
    assert RankerScores("head", scoring, "raw", "head-x").logit(chain) is None


def test_weights_that_do_not_differ_have_one_row(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    rows = ablation(scored_run(spec, calibration=(1.0, 0.0), weighting=None, likelihood=None), spec, checker)
    assert {key[1:] for key in rows if key[0] == "ranker (head)"} == {
        ("raw", "asc"), ("raw", "asc-add"), ("raw", "asc-add2"), ("highest", "best")
    }  # fmt: skip
    assert not [key for key in rows if "fitted" in key[1]]


def test_scores_of_an_earlier_version_are_probabilities(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = make_run("a", [spec], TRAINED)
    answer(run, "nce", spec, "----", VOTES)
    name = add_ranker(run, calibration=(0.5, 0.1))
    score(run, "nce", spec, name, lambda _, chain: Score(Calibration(0.5, 0.1)(logit(chain))))
    rows = ablation(run, spec, checker)
    assert rows["ranker (head)", "calibrated", "asc"]["accuracy"] == 0.75
    assert rows["ranker (head)", "raw", "asc-add2"]["accuracy"] == 0.75
    assert rows["ranker (head)", "calibrated", "asc-add2"]["accuracy"] == 0.25


def test_a_ranker_that_has_not_scored_all_is_left_out_with_the_command(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = make_run("a", [spec], TRAINED)
    answer(run, "nce", spec, "----", VOTES)
    name = add_ranker(run, weighting=ODDS)
    (why,) = reasons(run, spec, checker)
    assert why == (
        f"{name} has scored 0 of 4 problems of a:nce; `nsad eval --run a --model nce --samples 3` scores them"
    )
    assert ("none", "one each", "sc") in ablation(run, spec, checker)


def test_a_refused_ranker_is_compared_and_named(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = scored_run(spec, refused="it ranks 40% of 10 pairs rightly")
    (why,) = reasons(run, spec, checker)
    assert why == "the ranker is refused, votes do not use its weights: it ranks 40% of 10 pairs rightly"


def test_the_ranker_of_step_checks_is_computed_from_the_texts(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = make_run("a", [spec], TRAINED)
    answer(run, "nce", spec, "----", VOTES)
    add_ranker(run, kind="steps", weighting={"form": "power", "exponent": 8.0})
    rows = ablation(run, spec, checker)
    assert rows["step checks", "share^8 (fitted)", "asc"]["accuracy"] == 0.75
    assert rows["step checks", "share^4", "asc"]["accuracy"] == 0.75
    assert reasons(run, spec, checker) == []


def test_scores_are_ranked_on_the_same_chains(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = scored_run(spec)
    result = compare_weights(Selection([Side(run, "nce", EngineSpec())], [], [spec]), checker)
    ranking = {row["score"]: row for row in result["ranking"]}
    assert set(ranking) == {"ranker (head)", "log probability", "step checks"}
    assert ranking["ranker (head)"]["pair_accuracy"]["value"] == 1.0
    assert ranking["ranker (head)"]["pair_accuracy"]["pairs"] == 4, "two problems with one right and two wrong chains"


def test_without_sampled_chains_the_command_that_samples_them_is_said(tmp_path: Path, checker: Checker) -> None:
    spec = make_benchmark(tmp_path, 4)
    run = make_run("a", [spec], TRAINED)
    answer(run, "nce", spec, "+---")
    with pytest.raises(UsageError, match="a:nce has no stored chains to vote on") as error:
        ablation(run, spec, checker)
    assert error.value.fix == "sample them with `nsad eval --run a --model nce --samples 8`"
