"""The smallest set of chains whose removal makes another answer win: what a result rests on.

Only the winner's class loses by it, so it is asked of each rival class apart: how few chains must go until the rival
ranks before the winner? Let A and B be the sums of weights that the winner's and the rival's scored chains keep, O that
of all other scored chains, u and v the numbers of unscored chains that they keep, N the number of scored chains left.
An unscored chain weighs the mean m = (A + B + O) / N, so the winner leads by

    (A + u·m) − (B + v·m) = (1 + q)·A − (1 − q)·B + q·O,    q = (u − v) / N.

How many chains go from each of the five groups settles q, and the lead is then least where each sum is least or
greatest, by the sign of its factor: the heaviest or the lightest of the group go. So every combination of five counts
is tried at once, with prefix sums, and the cheapest that turns the vote is taken. Ties of weights are resolved for the
vote's own rule on ties: the winner loses its low indices first, the rival its high ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nsad_cli.errors import UsageError
from nsad_cli.types import Chain
from nsad_cli.voting import chain_weights, vote

CLOSE = 1e-9
"""Of all weight: leads below it may be ties, and the vote itself is asked."""
FEW = 300
"""Choices of one group's chains that are all tried where only a tie depends on them."""
_Pairs = list[tuple[float, int]]


def winning_class(chains: Sequence[Chain], rule: str) -> int | None:
    """The class that wins a vote; None where no chain has an answer. Raises UsageError as the vote does."""
    votes = vote(chains, rule).votes
    if not votes:
        return None
    first = votes[0].chains[0]
    return next(chain.answer_class for chain in chains if chain.index == first)


def smallest_flip(chains: Sequence[Chain], rule: str) -> tuple[int, ...] | None:
    """The fewest chains without which another answer wins, by index; None where no removal lets one win.

    A removal after which the rule has no scores left to vote by counts as none. Of several smallest sets one is given.
    Exact but for sums that differ by less than a float's rounding. Raises UsageError where the vote cannot be held, and
    for `best` where a chain with an answer has no score: the mean it gets follows whatever is removed.
    """
    class_of = {chain.index: chain.answer_class for chain in chains}
    winner, *rivals = [class_of[item.chains[0]] for item in vote(chains, rule).votes] or [None]
    if winner is None or not rivals:
        return None
    if rule == "best":
        return _without_the_best(chains, winner)
    weights = chain_weights(chains, rule)
    by_score = rule in ("asc", "asc-add")
    groups = {
        name: _Group.of([c for c in chains if c.answer_class == name], weights, by_score) for name in (winner, *rivals)
    }
    if not any(group.unscored or any(weight < 0 for weight, _ in group.scored) for group in groups.values()):
        del rivals[1:]  # only the winner's chains matter, and no other answer is as near as the second
    everyone = _Group.of(chains, weights, by_score)
    best: tuple[int, ...] | None = None
    for rival in rivals:
        inside = {*groups[winner].indices, *groups[rival].indices}
        others = _Group([pair for pair in everyone.scored if pair[1] not in inside], [])
        most = len(chains) if best is None else len(best) - 1
        for removed in _candidates(groups[winner], groups[rival], others, most):
            gone = set(removed)
            if winning_class([chain for chain in chains if chain.index not in gone], rule) != winner:
                best = removed
                break
    return best


@dataclass(frozen=True, slots=True)
class _Group:
    scored: _Pairs
    """(weight, index), the heaviest first and among equals the lowest index first."""
    unscored: list[int]

    @classmethod
    def of(cls, chains: Sequence[Chain], weights: dict[int, float], by_score: bool) -> _Group:
        bare = sorted(chain.index for chain in chains if by_score and chain.weight is None)
        scored = [(weights[c.index], c.index) for c in chains if not (by_score and c.weight is None)]
        return cls(sorted(scored, key=lambda pair: (-pair[0], pair[1])), bare)

    @property
    def indices(self) -> list[int]:
        return [*(index for _, index in self.scored), *self.unscored]

    def least(self) -> np.ndarray:
        """[n] is what n removals leave at least: the heaviest go."""
        return self._left([weight for weight, _ in self.scored])

    def most(self) -> np.ndarray:
        """[n] is what n removals leave at most: the lightest go."""
        return self._left([weight for weight, _ in reversed(self.scored)])

    @staticmethod
    def _left(weights: list[float]) -> np.ndarray:
        return np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])


def _candidates(winner: _Group, rival: _Group, others: _Group, most: int) -> Iterator[tuple[int, ...]]:
    """Sets of at most `most` chains that let the rival pass the winner, or tie with it; the smallest first."""
    everything = [*winner.scored, *rival.scored, *others.scored]
    below = any(weight < 0 for weight, _ in everything)
    bare = bool(winner.unscored or rival.unscored)
    room = CLOSE * float(np.abs([weight for weight, _ in everything]).sum() or 1.0)

    def counts(number: int, useful: bool, axis: int) -> np.ndarray:
        return np.arange(number + 1 if useful else 1).reshape([-1 if i == axis else 1 for i in range(4)])

    a, b = counts(len(winner.scored), True, 0), counts(len(winner.unscored), True, 1)
    # With weights of zero and above the rival has no use for losing chains, but where they move the mean.
    d, g = counts(len(rival.scored), below or bare, 2), counts(len(others.scored), bare, 3)
    found: list[tuple[int, float, tuple[int, ...], float]] = []
    for e in range(len(rival.unscored) + 1 if below else 1):
        scored_left = len(everything) - a - d - g
        of_winner = len(winner.unscored) - b
        q = (of_winner - (len(rival.unscored) - e)) / np.maximum(scored_left, 1)
        lead = (
            (1 + q) * np.where(q >= -1, winner.least()[a], winner.most()[a])
            - (1 - q) * np.where(q <= 1, rival.most()[d], rival.least()[d])
            + q * np.where(q >= 0, others.least()[g], others.most()[g])
        )
        beaten = (len(winner.scored) - a == 0) & (of_winner == 0)
        there = (len(rival.scored) - d + len(rival.unscored) - e > 0) & (scored_left > 0)
        removed = a + b + d + e + g
        certain = removed[there & (beaten | (lead < -room))]
        most = min(most, int(certain.min(initial=most)))
        turned = there & (beaten | (lead <= room)) & (removed <= most)
        factors = np.broadcast_to(q, lead.shape)
        for cell in zip(*np.nonzero(turned), strict=True):
            numbers = (int(cell[0]), int(cell[1]), int(cell[2]), e, int(cell[3]))
            found.append((int(removed[cell]), float(lead[cell]), numbers, float(factors[cell])))
    for _, _, counted, factor in sorted(found):
        yield from _sets(winner, rival, others, counted, factor)


def _sets(
    winner: _Group, rival: _Group, others: _Group, numbers: tuple[int, ...], q: float
) -> Iterator[tuple[int, ...]]:
    """The sets of these numbers from each group that let the winner lead least.

    Where a group's factor is zero its choice leaves the lead as it is, but it may decide a tie, by the mean or by the
    first index: then every choice is tried, as long as there are few.
    """
    a, b, d, e, g = numbers
    ahead = _choices(winner.scored, sorted(winner.scored), a, 1 + q)
    # Here the last go, the lightest or the heaviest, and among equals the highest index.
    behind = _choices(rival.scored[::-1], sorted(rival.scored, key=lambda pair: (-pair[0], -pair[1])), d, 1 - q)
    third = _choices(others.scored, others.scored[::-1], g, q)
    third = list({tuple(weight for weight, _ in choice): choice for choice in third}.values())
    bare = [*winner.unscored[:b], *rival.unscored[len(rival.unscored) - e :]]
    for choice in itertools.product(ahead, behind, third):
        yield tuple(sorted([*bare, *(index for group in choice for _, index in group)]))


def _choices(above: _Pairs, below: _Pairs, number: int, factor: float) -> list[_Pairs]:
    """The first `number` of what goes where the factor is above zero, or below; where it is zero, any so many."""
    if abs(factor) >= CLOSE or number in (0, len(above)):
        return [above[:number] if factor > 0 else below[:number]]
    if math.comb(len(above), number) > FEW:
        return [above[:number], below[:number]]
    return [list(choice) for choice in itertools.combinations(above, number)]


def _without_the_best(chains: Sequence[Chain], winner: int) -> tuple[int, ...]:
    """For `best`: what stands in the way of a rival's best chain; where they are level, of its lower index."""
    answered = [chain for chain in chains if chain.answer_class is not None]
    if any(chain.weight is None for chain in answered):
        raise UsageError(
            "the smallest set is not worked out for `best`", "a chain with an answer has no score", "use another rule"
        )
    scores = {chain.index: chain.weight or 0.0 for chain in answered}
    own = [chain.index for chain in answered if chain.answer_class == winner]
    sets: list[list[int]] = []
    for rival in {chain.answer_class for chain in answered} - {winner}:
        theirs = [chain.index for chain in answered if chain.answer_class == rival]
        bar, first = max(scores[index] for index in theirs), min(theirs)
        sets.append([index for index in own if scores[index] >= bar])
        sets.append([index for index in own if scores[index] > bar or index < first])
    smallest = min(sets, key=len)
    return tuple(sorted(smallest))
