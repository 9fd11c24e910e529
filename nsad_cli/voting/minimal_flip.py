"""The smallest set of chains whose removal makes another answer win: what a result rests on.

Only the winner's class loses by it, so it is asked of each rival class apart: how few chains must go until the rival
ranks before the winner? Let A and B be the sums of weights that the winner's and the rival's scored chains keep, O that
of all other scored chains, u and v the numbers of unscored chains that they keep, N the number of scored chains left.
An unscored chain weighs the mean m = (A + B + O) / N, so the winner leads by

    (A + u·m) − (B + v·m) = A − B + q·(A + B + O),    q = (u − v) / N.

Unscored chains go from one of the two only: where m is above zero it is fewer and better to keep the rival's, where it
is below, the winner's. So two numbers settle q: how many scored chains go, and the swing, how many unscored ones of the
winner or, below zero, of the rival. The lead is then least where the scored chains with the largest gains go, which are
(1 + q)·w for the winner's, −(1 − q)·w for the rival's and q·w for the others.

The sum of so many largest gains is convex in q. So the least lead is concave in the swing, and over all swings that a
total allows it is least at the first or the last: a few rows of sorted gains decide whether a total can turn the vote,
and bisection finds the first that can. If the lead is then a tie, `vote` decides about the sets that leave it.
Ties of weights are resolved by its own rule on ties: the winner loses its low indices first, the rival its high.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nsad_cli.errors import UsageError
from nsad_cli.voting.rules import chain_weights, vote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.types import Chain

TIE_TOLERANCE = 1e-9
"""Share of the total weight: leads below it may be ties, which `vote` decides."""
MAX_TIED_CHOICES = 300
"""The maximum number of choices of one group's chains that are all tried if only a tie depends on them."""
_Pairs = list[tuple[float, int]]


def winning_class(chains: Sequence[Chain], rule: str) -> int | None:
    """Return the class that wins a vote; None if no chain has an answer.

    Raises:
        UsageError: The vote cannot be held.
    """
    votes = vote(chains, rule).votes
    if not votes:
        return None
    first = votes[0].chains[0]
    return next(chain.answer_class for chain in chains if chain.index == first)


def smallest_flip(chains: Sequence[Chain], rule: str) -> tuple[int, ...] | None:
    """The fewest chains without which another answer wins, by index; None where no removal lets one win.

    A removal after which the rule has no scores left to vote by counts as none. Of several smallest sets one is given.
    Exact but for sums that differ by less than a float's rounding, and for ties that hang by which of more than `FEW`
    choices moves the mean. Raises UsageError where the vote cannot be held, and for `best` where a chain with an answer
    has no score: the mean it gets follows whatever is removed.
    """
    class_of = {chain.index: chain.answer_class for chain in chains}
    winner, *rivals = [class_of[item.chains[0]] for item in vote(chains, rule).votes] or [None]
    if winner is None or not rivals:
        return None
    if rule == "best":
        return _smallest_flip_for_best(chains, winner)
    weights = chain_weights(chains, rule)
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1.0)  # weights that say nothing: the vote counts chains then
    by_score = rule in ("asc", "asc-add")
    groups = {
        name: _Group.of([c for c in chains if c.answer_class == name], weights, by_score) for name in (winner, *rivals)
    }
    if not any(group.unscored or any(weight < 0 for weight, _ in group.scored) for group in groups.values()):
        del rivals[1:]  # only the winner's chains matter, and no other answer is as near as the second
    everyone = _Group.of(chains, weights, by_score)
    own = set(groups[winner].indices)
    # Without all its chains no class wins, and without all that weigh something chains are counted.
    best: tuple[int, ...] | None = None
    for gone in (own, {index for weight, index in everyone.scored if weight}):
        rest = _without(chains, gone)
        if any(index not in gone for _, index in everyone.scored) and (now := winning_class(rest, rule)) is not None:
            further = () if now != winner else smallest_flip(rest, rule)
            if further is not None and (best is None or len(gone) + len(further) < len(best)):
                best = tuple(sorted([*gone, *further]))
    for rival in rivals:
        inside = own.union(groups[rival].indices)
        unscored = groups[winner].unscored or groups[rival].unscored  # else no mean is needed, and the others are idle
        others = _Group([pair for pair in everyone.scored if unscored and pair[1] not in inside], [])
        most = len(chains) if best is None else len(best) - 1
        for removed in _RivalSearch(groups[winner], groups[rival], others, most).candidates():
            if winning_class(_without(chains, set(removed)), rule) != winner:
                best = removed
                break
    return best


def _without(chains: Sequence[Chain], gone: set[int]) -> list[Chain]:
    return [chain for chain in chains if chain.index not in gone]


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


class _RivalSearch:
    """The search for sets of at most `most` chains whose removal lets one rival pass the winner."""

    def __init__(self, winner: _Group, rival: _Group, others: _Group, most: int) -> None:
        self.winner, self.rival, self.others, self.most = winner, rival, others, most
        self.upmost = len(winner.unscored)
        self.deepest = len(rival.unscored) - (0 if rival.scored else 1)
        whole = [np.array([weight for weight, _ in group.scored]) for group in (winner, rival, others)]
        self.number = sum(map(len, whole))
        self.lead, self.sum = float(whole[0].sum() - whole[1].sum()), float(sum(part.sum() for part in whole))
        self.room = TIE_TOLERANCE * float(sum(np.abs(part).sum() for part in whole) or 1.0)
        # Of a large group no more than the heaviest and the lightest can go.
        near = [part if len(part) <= 2 * most else np.r_[part[:most], part[-most:]] for part in whole]
        self.ends = np.cumsum([len(part) for part in near])
        self.weights = np.concatenate(near)
        self.base = np.concatenate([near[0], -near[1], np.zeros_like(near[2])])

    def candidates(self) -> Iterator[tuple[int, ...]]:
        """Sets that let the rival pass the winner, or tie with it; the smallest first."""
        if not self.in_reach(self.most):
            return
        for total in range(max(1, bisect_left(range(self.most), True, key=self.in_reach)), self.most + 1):
            swing = np.arange(-min(self.deepest, total), min(self.upmost, total) + 1)
            scored = total - np.abs(swing)
            leads = self.least_leads(swing, scored)
            if self.winner.unscored or self.rival.unscored:  # else there is but one cell, which knows of no others
                tied = np.flatnonzero(np.abs(leads) <= self.room)
                leads[tied[self.weightless(swing[tied], scored[tied])]] = np.inf
            for cell in np.argsort(leads):
                if leads[cell] <= self.room:
                    yield from self.sets(int(swing[cell]), int(scored[cell]))

    def in_reach(self, total: int) -> bool:
        """Whether the rival can pass the winner, or tie with it, without so many chains or fewer."""
        scored = np.arange(total + 1)
        first = np.minimum(total - scored, max(len(self.rival.unscored) - 1, 0))
        last = np.minimum(total - scored, self.upmost)
        # Without its last unscored chain the rival must keep a scored one: that swing stands apart.
        apart = scored[: max(total - self.deepest + 1, 0)]
        swing = np.concatenate([-first, last, np.full(len(apart), -self.deepest)])
        return bool((self.least_leads(swing, np.concatenate([scored, scored, apart])) <= self.room).any())

    def least_leads(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """The least lead for each swing and number of scored chains that go; infinite where that is not allowed."""
        allowed = scored < self.number
        scored = np.minimum(scored, self.number - 1)
        q = self.factor(swing, scored)
        if not (self.winner.unscored or self.rival.unscored):
            q, swing = q[:1], swing[:1]  # zero throughout: one order of the gains serves every number
        gains = self.gains(q, swing)
        gains.sort(axis=1)
        sums = np.zeros((len(q), gains.shape[1] + 1))
        np.cumsum(gains[:, ::-1], axis=1, out=sums[:, 1:])
        leads = self.lead + q * self.sum - sums[np.arange(len(q)), scored]
        return np.where(allowed, leads, np.inf)

    def weightless(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Whether the least lead is that where all go that weigh something: not for this search to try."""
        gains = self.gains(self.factor(swing, scored), swing)
        stays = np.sort(gains, axis=1)[np.arange(len(gains)), -scored - 1]
        none: np.ndarray = gains[:, self.weights != 0].min(axis=1, initial=np.inf) > stays + self.room
        return none

    def factor(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """q, of the numbers that are left."""
        left: np.ndarray = (len(self.winner.unscored) - len(self.rival.unscored) - swing) / (self.number - scored)
        return left

    def gains(self, q: np.ndarray, swing: np.ndarray) -> np.ndarray:
        """A row for each q: what each chain's removal takes from the lead. The rival's last chain cannot go."""
        gains: np.ndarray = self.base + q[:, None] * self.weights
        if self.rival.scored:
            bare = np.flatnonzero(len(self.rival.unscored) + np.minimum(swing, 0) == 0)
            heaviest, lightest = self.ends[0], self.ends[1] - 1
            gains[bare, np.where(q[bare] <= 1, heaviest, lightest)] = -np.inf
        return gains

    def sets(self, swing: int, scored: int) -> Iterator[tuple[int, ...]]:
        """The sets of these numbers that leave the least lead: more than one where chains gain the same."""
        winner, rival, others = self.winner, self.rival, self.others
        q = float(self.factor(np.array(swing), np.array(scored)))
        bare = [*winner.unscored[: max(swing, 0)], *rival.unscored[len(rival.unscored) + min(swing, 0) :]]
        mean_counts = len(bare) < len(winner.unscored) + len(rival.unscored)
        splits = self.splits(swing, scored, q, mean_counts)
        few = MAX_TIED_CHOICES // len(splits)
        lightest = sorted(winner.scored)
        # Of the rival the last go, the lightest or the heaviest, and among equals the highest index.
        heaviest = sorted(rival.scored, key=lambda pair: (-pair[0], -pair[1]))
        for a, d, g in splits:
            ahead = _choices(winner.scored, lightest, a, 1 + q, few)
            behind = _choices(rival.scored[::-1], heaviest, d, 1 - q, few)
            third = _choices(others.scored, others.scored[::-1], g, q if mean_counts else 1.0, few)
            third = list({tuple(weight for weight, _ in choice): choice for choice in third}.values())
            for choice in itertools.product(ahead, behind, third):
                yield tuple(sorted([*bare, *(index for group in choice for _, index in group)]))

    def splits(self, swing: int, scored: int, q: float, mean_counts: bool) -> list[tuple[int, int, int]]:
        """How many of each group go: every way where it may decide a tie, as long as there are few, else the ends."""
        gains = self.gains(np.array([q]), np.array([swing]))[0]
        bar = float(np.sort(gains)[-scored]) if scored else math.inf
        parts = np.split(gains, self.ends[:2])
        least = [int((part > bar + self.room).sum()) for part in parts]
        most = [int((part >= bar - self.room).sum()) for part in parts]
        found = [
            (a, d, scored - a - d)
            for a in range(min(most[0], scored), least[0] - 1, -1)
            for d in range(max(least[1], scored - a - most[2]), min(most[1], scored - a - least[2]) + 1)
        ]
        idle = (
            mean_counts and min(abs(q), abs(1 + q), abs(1 - q)) < TIE_TOLERANCE
        )  # weights may gain nothing and move the mean
        if abs(bar) <= self.room and not idle:
            return found[:1]  # what gains the same weighs nothing: the winner's are the best to lose, then the others'
        if len(found) > MAX_TIED_CHOICES:
            return [end(found, key=lambda split: split[i]) for i in range(3) for end in (max, min)]
        return found


def _choices(above: _Pairs, below: _Pairs, number: int, factor: float, few: int) -> list[_Pairs]:
    """The first `number` of what goes where the factor is above zero, or below; where it is zero, any so many.

    The choice leaves the lead as it is then, but may decide a tie, by the mean, a single weight or the first index.
    More than a few are not all tried.
    """
    if abs(factor) >= TIE_TOLERANCE or number in (0, len(above)):
        return [above[:number] if factor > 0 else below[:number]]
    if math.comb(len(above), number) > few:
        return [above[:number], below[:number]]
    return [list(choice) for choice in itertools.combinations(above, number)]


def _smallest_flip_for_best(chains: Sequence[Chain], winner: int) -> tuple[int, ...]:
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
