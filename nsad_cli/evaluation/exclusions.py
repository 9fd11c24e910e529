"""Exclusions of a comparison, with reasons: votes that one side lacks, and rules without scores or probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.stages import UNTRAINED
from nsad_cli.evaluation.outcomes import is_scored, rules_for
from nsad_cli.voting.rules import RANKER_RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.evaluation.report import Measured
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.types import Chain

Exclusion = tuple[list[str], str]
"""The names of what is not compared, and the reason."""
VOTES = "votes"


def find_exclusions(
    sides: Sequence[Side], stored: Sequence[Measured], ids: Sequence[str], samples: int | None, used: int, how: str
) -> Iterator[Exclusion]:
    """Find what cannot be compared.

    Args:
        sides: The two models.
        stored: Their stored chains.
        ids: The ids of the compared problems.
        samples: The requested number of chains per problem, or None.
        used: The number of chains per problem in the votes.
        how: Further options of the command that would evaluate a model, for messages.

    Yields:
        The exclusions.
    """
    counts = [min(len(measured[key][1]) for measured in stored) for key in ids]
    yield from _votes(sides, stored, ids, [count for count in counts if count], samples, how)
    voted = [key for key, count in zip(ids, counts, strict=True) if count >= used > 0]
    if voted:
        groups = [[measured[key][1][:used] for key in voted] for measured in stored]
        yield from _rules(sides, groups, used, how)


def _votes(
    sides: Sequence[Side],
    stored: Sequence[Measured],
    ids: Sequence[str],
    counts: Sequence[int],
    samples: int | None,
    how: str,
) -> Iterator[Exclusion]:
    """Find excluded votes; `counts` has the number of chains of each problem sampled by both sides."""
    if counts and samples is not None and samples > min(counts):
        short = sum(count < samples for count in counts)
        what = VOTES if short == len(counts) else f"{VOTES} on {short} of {len(counts)} problems"
        has = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        yield [what], f"{has} chains are stored of both, not {samples}; --samples {min(counts)} compares all problems"
    if counts or samples == 0:
        return
    most = [max((len(measured[key][1]) for key in ids), default=0) for measured in stored]
    if any(most) and all(most):
        yield [VOTES], "no problem has sampled chains of both"
    elif any(most) or samples:
        lacking = [side for side, count in zip(sides, most, strict=True) if not count]
        commands = " and ".join(f"`{side.command(samples or max(most), how)}`" for side in lacking)
        names = " and ".join(side.name for side in lacking)
        yield [VOTES], f"no sampled chains of {names} are stored for these problems; sample them with {commands}"


def _rules(
    sides: Sequence[Side], groups: Sequence[Sequence[Sequence[Chain]]], used: int, how: str
) -> Iterator[Exclusion]:
    allowed = [rules_for(group) for group in groups]
    without = [side.name for side, rules in zip(sides, allowed, strict=True) if "wsc" not in rules]
    if without:
        yield ["wsc"], f"no log-probabilities for {' and '.join(without)}: the engine returned none"
    rankers = [side.ranker() for side in sides]
    if not any(rankers) or all("asc" in rules for rules in allowed):
        return
    reasons = [
        _why_unscored(side, ranker, group, used, how)
        for side, ranker, group, rules in zip(sides, rankers, groups, allowed, strict=True)
        if "asc" not in rules
    ]
    yield list(RANKER_RULES), "; ".join(dict.fromkeys(reasons))


def _why_unscored(side: Side, ranker: str | None, group: Sequence[Sequence[Chain]], used: int, how: str) -> str:
    if side.model in UNTRAINED:
        return f"rankers do not score {side.model}"
    if ranker is None:
        return f"{side.run.name} has no ranker for its current student"
    scored = sum(map(is_scored, group))
    if scored == len(group):
        return f"every chain of {side.name} is empty"
    return (
        f"{ranker} has scored {scored} of {len(group)} problems of {side.name}; `{side.command(used, how)}` scores them"
    )
