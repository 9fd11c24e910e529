"""The ranker without weights: shares of right steps, raised; what it cannot check takes the mean, or counts as sc."""

from __future__ import annotations

from nsad_cli.rankers.steps import EXPONENT, StepsRanker
from nsad_cli.rankers.weighting import Weighting
from nsad_cli.types import Chain, Problem
from nsad_cli.voting.rules import applicable_rule, vote

PROBLEM = Problem("p", "2 + 2?", "4", "test")
TEXTS = ("2 + 2 = 5. 5 - 1 = 4.", "2 + 2 = 5. 5 + 0 = 5.", "It is 5.", "2 + 2 = 4.")
ANSWERS = ("4", "5", "5", "4")


def scored(texts: tuple[str, ...], answers: tuple[str, ...]) -> list[Chain]:
    chains = [
        Chain("p", i, text, answer, answer_class=answers.index(answer))
        for i, (text, answer) in enumerate(zip(texts, answers, strict=True))
    ]
    scores = StepsRanker().score(PROBLEM, chains)
    return [chain.scored(score) for chain, score in zip(chains, scores, strict=True)]


def test_a_chain_weighs_by_its_share_of_right_steps() -> None:
    chains = scored(TEXTS, ANSWERS)
    assert [chain.weight for chain in chains] == [0.5**EXPONENT, 0.5**EXPONENT, None, 1.0]
    ballot = vote(chains, "asc")
    mean = (2 * 0.5**EXPONENT + 1) / 3
    assert {item.answer: item.weight for item in ballot.votes} == {"4": 1 + 0.5**EXPONENT, "5": 0.5**EXPONENT + mean}


def test_without_any_step_the_vote_is_scs() -> None:
    chains = scored(("It is 5.", "It is 5.", "It is 4."), ("5", "5", "4"))
    assert applicable_rule(chains, "asc") == "sc"


def test_if_all_steps_are_wrong_chains_count() -> None:
    chains = scored(("2 + 2 = 5", "2 + 2 = 5", "2 + 2 = 6"), ("5", "5", "6"))
    assert vote(chains, "asc").answer == "5"
    assert {item.weight for item in vote(chains, "asc").votes} == {0.0}


def test_an_exponent_of_zero_counts_chains() -> None:
    ranker = StepsRanker(Weighting("power", 0.0))
    chains = [Chain("p", i, text, None) for i, text in enumerate(TEXTS)]
    assert [score and score.weight for score in ranker.score(PROBLEM, chains)] == [1.0, 1.0, None, 1.0]
