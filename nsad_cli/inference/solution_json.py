"""The object of `nsad solve --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.grading.marked_steps import steps_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.types import Chain


def solution_json(solution: Solution, settings: VoteSettings | None = None) -> dict[str, Any]:
    """Convert a solution to the object of `nsad solve --json`.

    `share` is a fraction of the weight, `logprob` the mean per token, `finish` the OpenAI API's finish reason. With
    early stopping, `stopped` has the number of chains sampled and the probability that the leader stays ahead.
    """
    ballot = solution.ballot
    value: dict[str, Any] = {
        "answer": ballot.answer,
        "rule": ballot.rule,
        "share": ballot.share,
        "votes": [
            {"answer": vote.answer, "count": vote.count, "weight": vote.weight, "chains": list(vote.chains)}
            for vote in ballot.votes
        ],
        "chains": _chains(solution.chains),
    }
    if solution.ranker_refused is not None:
        value["ranker_refused"] = solution.ranker_refused
    if settings is not None and settings.stop_at is not None:
        value["stopped"] = {
            "at": settings.stop_at,
            "wave": settings.wave,
            "chains": len(solution.chains),
            "of": settings.samples,
            "sure": solution.sure,
        }
    return value


def _chains(chains: Sequence[Chain]) -> list[dict[str, Any]]:
    return [
        {
            "index": chain.index,
            "text": chain.text,
            "answer": chain.answer,
            "weight": chain.weight,
            "probability": chain.probability,
            "logprob": chain.logprob,
            "tokens": len(chain.logprobs),
            "finish": chain.finish.value,
            "steps": steps_json(chain.text),
        }
        for chain in chains
    ]
