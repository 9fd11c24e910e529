"""What a comparison has to leave out, and why: votes that one side lacks, and rules that need what is not there."""

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

Left = tuple[list[str], str]
"""What is left out, and why."""
VOTES = "votes"


def left_out(
    sides: Sequence[Side], stored: Sequence[Measured], asked: Sequence[str], samples: int | None, used: int, how: str
) -> Iterator[Left]:
    """What is not compared of two sides' stored chains on the problems `asked` (ids), of `used` chains each.

    samples: what was asked for, or None; how: further options of the command that measures.
    """
    counts = [min(len(measured[key][1]) for measured in stored) for key in asked]
    yield from _votes(sides, stored, asked, [count for count in counts if count], samples, how)
    voted = [key for key, count in zip(asked, counts, strict=True) if count >= used > 0]
    if voted:
        groups = [[measured[key][1][:used] for key in voted] for measured in stored]
        yield from _rules(sides, groups, used, how)


def _votes(
    sides: Sequence[Side],
    stored: Sequence[Measured],
    asked: Sequence[str],
    counts: Sequence[int],
    samples: int | None,
    how: str,
) -> Iterator[Left]:
    """counts: the chains of each problem that has sampled ones of both sides."""
    if counts and samples is not None and samples > min(counts):
        short = sum(count < samples for count in counts)
        what = VOTES if short == len(counts) else f"{VOTES} on {short} of {len(counts)} problems"
        has = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        yield [what], f"they have {has} chains of both, not {samples}; --samples {min(counts)} compares all of them"
    if counts or samples == 0:
        return
    most = [max((len(measured[key][1]) for key in asked), default=0) for measured in stored]
    if any(most) and all(most):
        yield [VOTES], "no problem has sampled chains of both"
    elif any(most) or samples:
        lacking = [side for side, count in zip(sides, most, strict=True) if not count]
        draw = " and ".join(f"`{side.command(samples or max(most), how)}`" for side in lacking)
        who = " and ".join(side.name for side in lacking)
        yield [VOTES], f"no sampled chains of {who} are kept for these problems; draw them with {draw}"


def _rules(sides: Sequence[Side], groups: Sequence[Sequence[Sequence[Chain]]], used: int, how: str) -> Iterator[Left]:
    allowed = [rules_for(group) for group in groups]
    silent = [side.name for side, rules in zip(sides, allowed, strict=True) if "wsc" not in rules]
    if silent:
        yield ["wsc"], f"{' and '.join(silent)} lack log-probabilities: the engine gave none"
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
        return f"no ranker scores {side.model}"
    if ranker is None:
        return f"{side.run.name} has no ranker for its present student"
    scored = sum(map(is_scored, group))
    if scored == len(group):
        return f"every chain of {side.name} is empty"
    return (
        f"{ranker} has scored {scored} of {len(group)} problems of {side.name}; `{side.command(used, how)}` scores them"
    )
