"""Votes of many problems at once in NumPy arrays; near ties are decided by the exact `vote`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from nsad_cli.types import Chain
from nsad_cli.voting.problem_filters import ProblemResult, Winner, problem_result
from nsad_cli.voting.rules import SCORE_WEIGHTS, adds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ChainRow = tuple[str, int, str | None, int | None, int | None, bytes, float | None, float | None, float | None]
"""A chain without its text: problem, index, answer, class, whether it is right, log-probabilities (32-bit floats),
weight. A problem's rows are adjacent, sorted by index."""
TIE_TOLERANCE = 1e-9
"""Relative difference of two answers' weights below which the exact vote decides."""


def problem_results(rows: Sequence[ChainRow], rules: Sequence[str]) -> list[ProblemResult]:
    """Summarise the votes of many problems; equal to `problem_filters.problem_result` for each.

    Args:
        rows: The chains, grouped by problem and sorted by index within it.
        rules: The rules to apply.

    Returns:
        One summary for each problem, in the order of the rows.
    """
    if not rows:
        return []
    ids = [row[0] for row in rows]
    starts = [0, *(i for i in range(1, len(rows)) if ids[i] != ids[i - 1])]
    ends = [*starts[1:], len(rows)]
    held = _VectorisedVotes(rows, np.array(starts), rules)
    found = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if held.unsure[place]:
            found.append(problem_result(ids[start], [_chain(row) for row in rows[start:end]], rules))
        else:
            found.append(ProblemResult(ids[start], end - start, bool(held.any_right[place]), dict(held.won(place))))
    return found


def mean_logprobs(blobs: Sequence[bytes]) -> np.ndarray:
    """Compute the mean of each blob of 32-bit floats.

    Returns:
        An array of shape [len(blobs)]; NaN for an empty blob.
    """
    lengths = np.array([len(blob) // 4 for blob in blobs], dtype=int)
    means, filled = np.full(len(blobs), np.nan), np.flatnonzero(lengths)
    if len(filled):
        values = np.frombuffer(b"".join(blobs), dtype="<f4")
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])[filled]
        means[filled] = np.add.reduceat(values, starts, dtype=np.float64) / lengths[filled]
    return means


class _VectorisedVotes:
    """The votes by every rule over all rows; the arrays have one element for each problem."""

    def __init__(self, rows: Sequence[ChainRow], starts: np.ndarray, rules: Sequence[str]) -> None:
        count = len(starts)
        self._rows = rows
        self._of = np.repeat(np.arange(count), np.diff([*starts, len(rows)]))
        classes = np.array([0 if row[3] is None else row[3] for row in rows])  # a greedy chain's is -1
        right = np.array([-1 if row[4] is None else row[4] for row in rows])
        self._weight, probability, likelihood = (_column(rows, place) for place in (6, 7, 8))
        self._probability = np.where(np.isnan(probability), self._weight, probability)
        self._likelihood = np.where(np.isnan(likelihood), np.exp(mean_logprobs([row[5] for row in rows])), likelihood)
        self.any_right = np.maximum.reduceat(right, starts) > 0
        self._known = np.maximum.reduceat(right, starts) >= 0
        self.unsure = np.zeros(count, dtype=bool)
        # Groups: a problem's chains of one class. Sorting keeps their order, so that a group's first is its lowest.
        self._answers = np.array([row[3] is not None for row in rows])
        answered = np.flatnonzero(self._answers)
        self._order = answered[np.lexsort((classes[answered], self._of[answered]))]
        key = np.stack([self._of[self._order], classes[self._order]])
        changes = np.any(np.diff(key, axis=1) != 0, axis=0)
        self._groups = np.flatnonzero(np.concatenate([np.ones(min(len(answered), 1), dtype=bool), changes]))
        self._owner, self._class = key[:, self._groups]
        self._first = self._order[self._groups]
        self._group_right = np.maximum.reduceat(right[self._order], self._groups) if len(self._groups) else right[:0]
        self._tables = {rule: self._hold(rule, starts) for rule in rules}

    def won(self, place: int) -> Iterator[tuple[str, Winner]]:
        """Yield (rule, winner) for each rule that can be applied to a problem."""
        for rule, (possible, winner, margin) in self._tables.items():
            if not possible[place]:
                continue
            group = winner[place]
            known = bool(self._known[place])
            if group < 0:
                yield rule, Winner(None, None, False if known else None, None)
                continue
            answer = self._rows[self._first[group]][2] or ""
            right = bool(self._group_right[group] > 0) if known else None
            yield rule, Winner(answer, int(self._class[group]), right, float(margin[place]))

    def _weights(self, rule: str, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's weight, and for each problem whether the rule can be applied."""
        count = len(starts)
        if rule == "sc":
            return np.ones(len(self._rows)), np.ones(count, dtype=bool)
        if rule == "wsc":
            return self._likelihood, ~np.logical_or.reduceat(np.isnan(self._likelihood) & self._answers, starts)
        scores = self._probability if adds(rule) else self._weight
        scored = ~np.isnan(scores)
        number = np.add.reduceat(scored.astype(int), starts)
        total = np.add.reduceat(np.where(scored, scores, 0.0), starts)
        infinite = np.logical_or.reduceat(np.isinf(scores), starts)
        mean = total / np.maximum(number, 1)
        weights = np.where(scored, scores, mean[self._of])
        plus, times = SCORE_WEIGHTS[rule]
        return plus + times * weights, (number > 0) & ~infinite

    def _hold(self, rule: str, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for each problem whether the rule can be applied, the winning group (or -1), and the margin."""
        count = len(starts)
        weights, possible = self._weights(rule, starts)
        winner, margin = np.full(count, -1), np.zeros(count)
        if not len(self._groups):
            return possible, winner, margin
        with np.errstate(invalid="ignore"):
            mine = np.nan_to_num(
                weights[self._order], posinf=0.0, neginf=0.0
            )  # only problems to which the rule does not apply
            heaviest = np.maximum.reduceat(mine, self._groups)
            total = heaviest if rule == "best" else np.add.reduceat(mine, self._groups)
        single = np.zeros(len(total)) if rule == "sc" else heaviest
        ranked = np.lexsort((self._first, -single, -total, self._owner))
        owner = self._owner[ranked]
        leads = np.flatnonzero(np.diff(owner, prepend=-1))
        winner[owner[leads]] = ranked[leads]
        second = np.minimum(leads + 1, len(ranked) - 1)
        has_second = (second > leads) & (owner[second] == owner[leads])
        ahead, behind = total[ranked[leads]], np.where(has_second, total[ranked[second]], 0.0)
        if rule != "sc":
            level = has_second & (np.abs(ahead - behind) <= TIE_TOLERANCE * np.maximum(np.abs(ahead), np.abs(behind)))
            self.unsure[owner[leads]] |= level & possible[owner[leads]]
        positive = np.add.reduceat(np.maximum(total[ranked], 0.0), leads)
        gap = np.maximum(ahead, 0.0) - np.maximum(behind, 0.0)
        margin[owner[leads]] = np.divide(gap, positive, out=np.zeros(len(leads)), where=positive > 0)
        return possible, winner, margin


def _chain(row: ChainRow) -> Chain:
    problem_id, index, answer, answer_class, correct, blob, *score = row
    logprobs = array("f")
    logprobs.frombytes(blob)
    known = None if correct is None else bool(correct)
    weight, probability, likelihood = score
    return Chain(
        problem_id,
        index,
        "",
        answer,
        logprobs=tuple(logprobs),
        answer_class=answer_class,
        correct=known,
        weight=weight,
        probability=probability,
        likelihood=likelihood,
    )


def _column(rows: Sequence[ChainRow], place: int) -> np.ndarray:
    """One column of numbers; NaN for None."""
    return np.array([np.nan if row[place] is None else row[place] for row in rows], dtype=float)
