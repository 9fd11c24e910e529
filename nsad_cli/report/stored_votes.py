"""Votes from a run's stored chains: accuracy by the number of chains, and problems that show how rules decide."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import BEST_FIRST
from nsad_cli.types import Chain
from nsad_cli.utils.statistics import wilson
from nsad_cli.voting.chain_sets import chain_sets
from nsad_cli.voting.rule_results import RuleResult, rule_results
from nsad_cli.voting.rules import any_right, vote, winner_is_right

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nsad_cli.store.chains import ChainStore
    from nsad_cli.types import Problem
    from nsad_cli.voting.chain_sets import ChainSet

RULES = ("sc", "asc")
SUBSETS, MAX_VOTES, MAX_SIZES = 20, 40_000, 16
"""Random subsets of a problem's chains for each size; votes in total; sizes of subsets."""
Groups = dict[str, list[Chain]]
"""Each problem's chains, without texts and log-probabilities."""


@dataclass(frozen=True, slots=True)
class ByNumber:
    """The accuracy of votes by the number of chains.

    Attributes:
        model: The model.
        ranker: The ranker whose scores weight `asc`; None without one.
        problems: The number of problems.
        accuracy: For each rule (k, accuracy, low, high): the mean over subsets of k chains, and the Wilson interval.
    """

    model: str
    ranker: str | None
    problems: int
    accuracy: Mapping[str, tuple[tuple[int, float, float, float], ...]]


@dataclass(frozen=True, slots=True)
class Example:
    """A problem with its chains and the results of the rules; `why` says what it shows."""

    why: str
    model: str
    problem: Problem
    chains: tuple[Chain, ...]
    results: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class StoredVotes:
    """What a run's chains show; `greedy` has (problems, right) of each model's greedy chains."""

    by_number: tuple[ByNumber, ...] = ()
    greedy: Mapping[str, tuple[int, int]] | None = None
    examples: tuple[Example, ...] = ()


def read_votes(store: ChainStore, seen: Collection[str], weights: Mapping[str, str]) -> StoredVotes:
    """Read the votes of every model.

    Args:
        store: The run's chains.
        seen: Ids of problems to leave out: the run trained on them.
        weights: The digest of each trained model's current weights; chains of others are used only without these.

    Returns:
        The votes on problems with a known answer.
    """
    sets = chain_sets(store)
    greedy = _all_groups(store, _current([item for item in sets if item.greedy], weights), seen)
    sampled = _current([item for item in sets if item.has_votes and not item.greedy], weights)
    voted = _all_groups(store, sampled, seen, greedy)
    by_number = tuple(by_number_of_chains(model, sampled[model].ranker, groups) for model, groups in voted.items())
    best = next((model for model in (*BEST_FIRST, *voted) if model in voted), None)
    examples = tuple(_examples(store, sampled[best], voted[best])) if best is not None else ()
    right = {
        model: (len(groups), sum(any_right(group) for group in groups.values())) for model, groups in greedy.items()
    }
    return StoredVotes(by_number, right, examples)


def by_number_of_chains(model: str, ranker: str | None, groups: Groups) -> ByNumber:
    """Measure the accuracy of `sc`, and of `asc` if all chains are scored, for each number of chains.

    It is the mean over all subsets of that size if there are at most 20, else over 20 random ones, the same for both
    rules; with very many problems over fewer.
    """
    rules = [rule for rule in RULES if rule == "sc" or is_weighted(groups)]
    n = min(map(len, groups.values()))
    sizes = range(1, n + 1) if n <= MAX_SIZES else sorted({round(n * i / MAX_SIZES) for i in range(1, MAX_SIZES + 1)})
    most = max(1, min(SUBSETS, MAX_VOTES // (len(groups) * len(sizes) * len(rules))))
    accuracy: dict[str, list[tuple[int, float, float, float]]] = {rule: [] for rule in rules}
    for k in sizes:
        right = dict.fromkeys(rules, 0.0)
        for key, chains in groups.items():
            subsets = _subsets(chains, k, most, f"{key}:{k}")
            for rule in rules:
                right[rule] += sum(winner_is_right(part, vote(part, rule)) for part in subsets) / len(subsets)
        for rule in rules:
            low, high = wilson(min(right[rule], float(len(groups))), len(groups))
            accuracy[rule].append((k, right[rule] / len(groups), low, high))
    return ByNumber(model, ranker, len(groups), {rule: tuple(rows) for rule, rows in accuracy.items()})


def is_weighted(groups: Groups) -> bool:
    """Return whether every chain that has an answer has a weight, and some chain has."""
    answered = [chain for chains in groups.values() for chain in chains if chain.answer_class is not None]
    return bool(answered) and all(chain.weight is not None for chain in answered)


def _subsets(chains: list[Chain], k: int, most: int, seed: str) -> list[list[Chain]]:
    if math.comb(len(chains), k) <= most:
        return [list(part) for part in itertools.combinations(chains, k)]
    chance = random.Random(seed)
    return [chance.sample(chains, k) for _ in range(most)]


def _current(sets: Sequence[ChainSet], weights: Mapping[str, str]) -> dict[str, ChainSet]:
    """Choose the latest set of each model's current weights, else its latest set; in the order of the sets."""
    found: dict[str, ChainSet] = {}
    for item in sets:
        fits = item.model_key.partition("@")[0] == weights.get(item.model)
        before = found.get(item.model)
        if before is None or fits or before.model_key.partition("@")[0] != weights.get(item.model):
            found[item.model] = item
    return found


def _all_groups(
    store: ChainStore, sets: Mapping[str, ChainSet], seen: Collection[str], greedy: Mapping[str, Groups] | None = None
) -> dict[str, Groups]:
    """Read the chains of each model's set; of a model with greedy chains only for problems that have one.

    Evaluations sample a greedy chain too; `nsad solve` does not.
    """
    found = {}
    for model, chosen in sets.items():
        evaluated = (greedy or {}).get(model)
        if groups := _groups(store, chosen, seen, evaluated):
            found[model] = groups
    return found


def _groups(store: ChainStore, chosen: ChainSet, seen: Collection[str], evaluated: Groups | None) -> Groups:
    """Read the chains of problems with a known answer, the same number for each; problems with fewer are left out."""
    groups: Groups = {}
    for row in store.rows_without_text(ranker=chosen.ranker, **chosen.key):
        if row[0] not in seen and row[4] is not None and (evaluated is None or row[0] in evaluated):
            groups.setdefault(row[0], []).append(_light_chain(row))
    counts = Counter(map(len, groups.values()))
    n = max(counts, key=lambda count: (counts[count], count), default=0)
    return {key: chains[:n] for key, chains in groups.items() if len(chains) >= n}


def _light_chain(row: tuple[Any, ...]) -> Chain:
    return Chain(
        row[0], row[1], "", row[2], answer_class=row[3], correct=bool(row[4]), weight=row[6], probability=row[7]
    )


def _examples(store: ChainStore, chosen: ChainSet, groups: Groups) -> Iterator[Example]:
    """Choose at most one problem of each kind, the first in the order in which chains were stored."""
    weighted = is_weighted(groups)
    wanted: dict[str, str] = {}
    problems = {problem.id: problem for problem in store.problems(**chosen.key)}
    for key in problems:
        if key in groups:
            wanted.setdefault(_kind(groups[key], weighted), key)
    for why in KINDS:
        if why in wanted:
            key = wanted[why]
            chains = store.get(key, ranker=chosen.ranker, **chosen.key)[: len(groups[key])]
            results = rule_results(chains, RULES if weighted else RULES[:1]).values()
            found = tuple(item for item in results if isinstance(item, RuleResult))
            yield Example(why, chosen.model, problems[key], tuple(chains), found)


ASC_RIGHT = "The ranker's weights turn a wrong majority into the right answer"
ASC_WRONG = "The ranker's weights turn a right majority into a wrong answer"
OUTVOTED = "A right chain is outvoted under every rule"
SPLIT_RIGHT = "The chains disagree, and the right answer wins"
UNANIMOUS = "Every chain gives the right answer"
NONE_RIGHT = "No chain is right"
KINDS = (ASC_RIGHT, ASC_WRONG, OUTVOTED, SPLIT_RIGHT, NONE_RIGHT, UNANIMOUS)


def _kind(chains: Sequence[Chain], weighted: bool) -> str:
    rules = RULES if weighted else RULES[:1]
    right = [winner_is_right(chains, vote(chains, rule)) for rule in rules]
    if any(right) and not all(right):
        return ASC_RIGHT if right[1] else ASC_WRONG
    if right[0]:
        return UNANIMOUS if all(chain.correct for chain in chains) else SPLIT_RIGHT
    return OUTVOTED if any_right(chains) else NONE_RIGHT
