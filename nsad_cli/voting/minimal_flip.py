"""The smallest set of chains whose removal makes another answer win.

For each rival answer, the search finds the smallest number of chains whose removal ranks the rival before the winner.
After the removal, let A and B be the sums of the weights of the winner's and the rival's scored chains, O that of all
other scored chains, u and v the numbers of the winner's and the rival's unscored chains, and N the number of scored
chains. An unscored chain has the mean weight m = (A + B + O) / N, so the winner leads by

    (A + u·m) − (B + v·m) = A − B + q·(A + B + O),    q = (u − v) / N.

Unscored chains are removed from only one of the two: if m > 0, removing the rival's does not help it, and if m < 0,
removing the winner's does not. So two numbers determine q: the number of scored chains removed, and the swing, the
number of unscored chains removed from the winner (positive) or from the rival (negative). For given numbers, the lead
is smallest if the scored chains with the largest gains are removed; a chain of weight w has the gain (1 + q)·w if it is
the winner's, −(1 − q)·w if it is the rival's, and q·w otherwise.

The sum of the k largest gains is convex in q, so the smallest lead is concave in the swing, and over all swings that a
total number of removals allows, its minimum is at the first or the last one. A few rows of sorted gains therefore
decide whether a total can change the winner, and bisection finds the smallest such total. If the smallest lead is a
tie, the candidate sets are checked with `vote`, which breaks ties of weights by the lowest chain index: of equal
weights, the winner's lowest indices and the rival's highest are removed first.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nsad_cli.errors import UsageError
from nsad_cli.voting.rules import RANKER_RULES, chain_weights, vote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.types import Chain

TIE_TOLERANCE = 1e-9
"""A fraction of the total weight: smaller leads may be ties, which `vote` decides."""
MAX_TIED_CHOICES = 300
"""The maximum number of choices of a group's chains that are enumerated if they differ only in how a tie is broken."""
_Pairs = list[tuple[float, int]]


def winning_class(chains: Sequence[Chain], rule: str) -> int | None:
    """Return the class that wins a vote; None if no chain has an answer.

    Raises:
        UsageError: The rule cannot be applied.
    """
    votes = vote(chains, rule).votes
    if not votes:
        return None
    first = votes[0].chains[0]
    return next(chain.answer_class for chain in chains if chain.index == first)


def smallest_flip(chains: Sequence[Chain], rule: str) -> tuple[int, ...] | None:
    """Find the smallest set of chains whose removal makes another answer win.

    A removal that leaves no chain with a score does not count if the rule needs scores. The result is exact, except for
    sums that differ by less than rounding, and for ties that depend on which of more than MAX_TIED_CHOICES choices is
    made.

    Args:
        chains: The chains of one problem.
        rule: The rule.

    Returns:
        The indices of one of the smallest sets, in order; None if no removal makes another answer win.

    Raises:
        UsageError: The rule cannot be applied, or it is `best` and a chain with an answer has no score, since the mean
            that such a chain gets changes with every removal.
    """
    class_of = {chain.index: chain.answer_class for chain in chains}
    winner, *rivals = [class_of[item.chains[0]] for item in vote(chains, rule).votes] or [None]
    if winner is None or not rivals:
        return None
    if rule == "best":
        return _smallest_flip_for_best(chains, winner)
    weights = chain_weights(chains, rule)
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1.0)  # all weights are zero: `vote` counts chains
    by_score = rule in RANKER_RULES
    groups = {
        name: _Group.of([c for c in chains if c.answer_class == name], weights, by_score) for name in (winner, *rivals)
    }
    if not any(group.unscored or any(weight < 0 for weight, _ in group.scored) for group in groups.values()):
        del rivals[1:]  # only the winner's chains are worth removing, and the second answer is the closest rival
    everyone = _Group.of(chains, weights, by_score)
    own = set(groups[winner].indices)
    # Two special cases: without any of its chains the winner cannot win, and without any non-zero weight chains are
    # counted.
    best: tuple[int, ...] | None = None
    for removed_first in (own, {index for weight, index in everyone.scored if weight}):
        rest = _without(chains, removed_first)
        scores_left = any(index not in removed_first for _, index in everyone.scored)
        if scores_left and (now := winning_class(rest, rule)) is not None:
            further = () if now != winner else smallest_flip(rest, rule)
            if further is not None and (best is None or len(removed_first) + len(further) < len(best)):
                best = tuple(sorted([*removed_first, *further]))
    for rival in rivals:
        inside = own.union(groups[rival].indices)
        unscored = groups[winner].unscored or groups[rival].unscored  # without them, other chains have no effect
        others = _Group([pair for pair in everyone.scored if unscored and pair[1] not in inside], [])
        most = len(chains) if best is None else len(best) - 1
        for removed in _RivalSearch(groups[winner], groups[rival], others, most).candidates():
            if winning_class(_without(chains, set(removed)), rule) != winner:
                best = removed
                break
    return best


def _without(chains: Sequence[Chain], removed: set[int]) -> list[Chain]:
    return [chain for chain in chains if chain.index not in removed]


@dataclass(frozen=True, slots=True)
class _Group:
    scored: _Pairs
    """(weight, index), in descending order of weight, then in ascending order of index."""
    unscored: list[int]

    @classmethod
    def of(cls, chains: Sequence[Chain], weights: dict[int, float], by_score: bool) -> _Group:
        unscored = sorted(chain.index for chain in chains if by_score and chain.weight is None)
        scored = [(weights[c.index], c.index) for c in chains if not (by_score and c.weight is None)]
        return cls(sorted(scored, key=lambda pair: (-pair[0], pair[1])), unscored)

    @property
    def indices(self) -> list[int]:
        return [*(index for _, index in self.scored), *self.unscored]


class _RivalSearch:
    """The search for sets of at most `most` chains whose removal ranks a given rival before the winner."""

    def __init__(self, winner: _Group, rival: _Group, others: _Group, most: int) -> None:
        self.winner, self.rival, self.others, self.most = winner, rival, others, most
        self.max_swing = len(winner.unscored)
        self.min_swing = -(len(rival.unscored) - (0 if rival.scored else 1))
        whole = [np.array([weight for weight, _ in group.scored]) for group in (winner, rival, others)]
        self.number = sum(map(len, whole))
        self.lead, self.sum = float(whole[0].sum() - whole[1].sum()), float(sum(part.sum() for part in whole))
        self.tolerance = TIE_TOLERANCE * float(sum(np.abs(part).sum() for part in whole) or 1.0)
        # Of a large group only the heaviest and the lightest chains can be removed.
        parts = [part if len(part) <= 2 * most else np.r_[part[:most], part[-most:]] for part in whole]
        self.ends = np.cumsum([len(part) for part in parts])
        self.weights = np.concatenate(parts)
        self.base = np.concatenate([parts[0], -parts[1], np.zeros_like(parts[2])])

    def candidates(self) -> Iterator[tuple[int, ...]]:
        """Yield sets that rank the rival before the winner or tie them, in order of size."""
        if not self.can_flip(self.most):
            return
        for total in range(max(1, bisect_left(range(self.most), True, key=self.can_flip)), self.most + 1):
            swing = np.arange(max(self.min_swing, -total), min(self.max_swing, total) + 1)
            scored = total - np.abs(swing)
            leads = self.min_leads(swing, scored)
            if self.winner.unscored or self.rival.unscored:  # otherwise there is only one cell
                tied = np.flatnonzero(np.abs(leads) <= self.tolerance)
                leads[tied[self.removes_all_weight(swing[tied], scored[tied])]] = np.inf
            for cell in np.argsort(leads):
                if leads[cell] <= self.tolerance:
                    yield from self.sets(int(swing[cell]), int(scored[cell]))

    def can_flip(self, total: int) -> bool:
        """Return whether removing at most `total` chains can rank the rival before the winner or tie them."""
        scored = np.arange(total + 1)
        first = np.minimum(total - scored, max(len(self.rival.unscored) - 1, 0))
        last = np.minimum(total - scored, self.max_swing)
        # Without any unscored chain the rival must keep a scored one, so the smallest swing is a separate case.
        separate = scored[: max(total + self.min_swing + 1, 0)]
        swing = np.concatenate([-first, last, np.full(len(separate), self.min_swing)])
        return bool((self.min_leads(swing, np.concatenate([scored, scored, separate])) <= self.tolerance).any())

    def min_leads(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Compute the smallest lead for each swing and number of scored chains removed; infinite if not allowed."""
        allowed = scored < self.number
        scored = np.minimum(scored, self.number - 1)
        q = self.factor(swing, scored)
        if not (self.winner.unscored or self.rival.unscored):
            q, swing = q[:1], swing[:1]  # q is always zero: one order of the gains is enough
        gains = self.gains(q, swing)
        gains.sort(axis=1)
        sums = np.zeros((len(q), gains.shape[1] + 1))
        np.cumsum(gains[:, ::-1], axis=1, out=sums[:, 1:])
        leads = self.lead + q * self.sum - sums[np.arange(len(q)), scored]
        return np.where(allowed, leads, np.inf)

    def removes_all_weight(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Return whether the smallest lead removes every non-zero weight, a case handled by smallest_flip."""
        gains = self.gains(self.factor(swing, scored), swing)
        largest_kept = np.sort(gains, axis=1)[np.arange(len(gains)), -scored - 1]
        all_removed: np.ndarray = (
            gains[:, self.weights != 0].min(axis=1, initial=np.inf) > largest_kept + self.tolerance
        )
        return all_removed

    def factor(self, swing: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Compute q after the removal."""
        q: np.ndarray = (len(self.winner.unscored) - len(self.rival.unscored) - swing) / (self.number - scored)
        return q

    def gains(self, q: np.ndarray, swing: np.ndarray) -> np.ndarray:
        """Compute a row for each q: how much each chain's removal reduces the lead.

        The rival must keep a chain: if it has no unscored one left, its best scored one has a gain of −∞.
        """
        gains: np.ndarray = self.base + q[:, None] * self.weights
        if self.rival.scored:
            no_unscored = np.flatnonzero(len(self.rival.unscored) + np.minimum(swing, 0) == 0)
            heaviest, lightest = self.ends[0], self.ends[1] - 1
            gains[no_unscored, np.where(q[no_unscored] <= 1, heaviest, lightest)] = -np.inf
        return gains

    def sets(self, swing: int, scored: int) -> Iterator[tuple[int, ...]]:
        """Yield the sets of these numbers with the smallest lead; several if chains have equal gains."""
        winner, rival, others = self.winner, self.rival, self.others
        q = float(self.factor(np.array(swing), np.array(scored)))
        unscored = [*winner.unscored[: max(swing, 0)], *rival.unscored[len(rival.unscored) + min(swing, 0) :]]
        mean_counts = len(unscored) < len(winner.unscored) + len(rival.unscored)
        splits = self.splits(swing, scored, q, mean_counts)
        few = MAX_TIED_CHOICES // len(splits)
        lightest = sorted(winner.scored)
        # The rival's chains are removed from the end: the lightest or the heaviest, of equals the highest index.
        heaviest = sorted(rival.scored, key=lambda pair: (-pair[0], -pair[1]))
        for a, d, g in splits:
            ahead = _choices(winner.scored, lightest, a, 1 + q, few)
            behind = _choices(rival.scored[::-1], heaviest, d, 1 - q, few)
            third = _choices(others.scored, others.scored[::-1], g, q if mean_counts else 1.0, few)
            third = list({tuple(weight for weight, _ in choice): choice for choice in third}.values())
            for choice in itertools.product(ahead, behind, third):
                yield tuple(sorted([*unscored, *(index for group in choice for _, index in group)]))

    def splits(self, swing: int, scored: int, q: float, mean_counts: bool) -> list[tuple[int, int, int]]:
        """List the numbers of chains to remove from each group.

        Every split with the smallest lead is listed if it may decide a tie and there are few, otherwise the extremes.
        """
        gains = self.gains(np.array([q]), np.array([swing]))[0]
        bar = float(np.sort(gains)[-scored]) if scored else math.inf
        parts = np.split(gains, self.ends[:2])
        least = [int((part > bar + self.tolerance).sum()) for part in parts]
        most = [int((part >= bar - self.tolerance).sum()) for part in parts]
        found = [
            (a, d, scored - a - d)
            for a in range(min(most[0], scored), least[0] - 1, -1)
            for d in range(max(least[1], scored - a - most[2]), min(most[1], scored - a - least[2]) + 1)
        ]
        # With such a q, chains may have a gain of zero but still change the mean.
        changes_mean = mean_counts and min(abs(q), abs(1 + q), abs(1 - q)) < TIE_TOLERANCE
        if abs(bar) <= self.tolerance and not changes_mean:
            return found[:1]  # chains with equal gains have weight zero: remove the winner's first, then the others'
        if len(found) > MAX_TIED_CHOICES:
            return [end(found, key=lambda split: split[i]) for i in range(3) for end in (max, min)]
        return found


def _choices(above: _Pairs, below: _Pairs, number: int, factor: float, few: int) -> list[_Pairs]:
    """Return the choices of `number` chains with the largest gains.

    With a positive factor these are the first of `above`, with a negative one the first of `below`. With a factor of
    zero, every choice gives the same lead, but may decide a tie (by the mean, a single weight or the lowest index), so
    all choices are returned if there are at most `few`.
    """
    if abs(factor) >= TIE_TOLERANCE or number in (0, len(above)):
        return [above[:number] if factor > 0 else below[:number]]
    if math.comb(len(above), number) > few:
        return [above[:number], below[:number]]
    return [list(choice) for choice in itertools.combinations(above, number)]


def _smallest_flip_for_best(chains: Sequence[Chain], winner: int) -> tuple[int, ...]:
    """Find the smallest flip for `best`: the winner's chains that rank before a rival's best chain."""
    answered = [chain for chain in chains if chain.answer_class is not None]
    if any(chain.weight is None for chain in answered):
        raise UsageError(
            "the smallest set cannot be computed for `best`", "a chain with an answer has no score", "use another rule"
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
