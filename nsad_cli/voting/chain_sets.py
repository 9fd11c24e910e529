"""Overview of a chain store: its sets, a summary of every problem's votes, and one problem's chains."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.store.chains import ChainStore
from nsad_cli.voting.vectorised import ChainRow, problem_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nsad_cli.types import Chain, Problem
    from nsad_cli.voting.problem_filters import ProblemResult

BATCH_SIZE = 400
"""Problems whose votes are computed at once."""
READ_TIMEOUT_SECONDS = 0.2
"""The default time limit for another process's write."""


@dataclass(frozen=True, slots=True)
class ChainSet:
    """Chains sampled from one model with one sampling configuration."""

    model: str
    model_key: str
    sampling: str
    problems: int
    chains: int
    min_chains: int
    """The smallest number of chains of a problem."""
    most: int
    """The largest number of chains of a problem."""
    greedy: bool
    """Whether decoding is greedy, with one chain per problem."""
    rankers: tuple[str, ...]
    """Rankers that have scored chains of the set, the latest last."""

    @property
    def key(self) -> dict[str, str]:
        """The keyword arguments that identify the set to ChainStore."""
        return {"model": self.model, "model_key": self.model_key, "sampling": self.sampling}

    @property
    def ranker(self) -> str | None:
        """The default ranker: the latest; None if none has scored the set."""
        return self.rankers[-1] if self.rankers else None

    @property
    def has_votes(self) -> bool:
        """Whether some problem has more than one chain, so that a vote is meaningful."""
        return self.chains > self.problems

    @property
    def title(self) -> str:
        """A short description; prefixes of the keys distinguish sets of the same model."""
        problems = f"{self.problems:,} problem{'' if self.problems == 1 else 's'}"
        return f"{self.model} · {problems} · {self.each} · {self.model_key[:4]}/{self.sampling[:4]}"

    @property
    def each(self) -> str:
        """The number of chains of each problem, in words."""
        if self.greedy:
            return "greedy"
        many = f"{self.min_chains}" if self.min_chains == self.most else f"{self.min_chains} to {self.most}"
        return f"{many} chain{'' if self.most == 1 else 's'} each"


def open_store(path: Path, patience: float = READ_TIMEOUT_SECONDS) -> ChainStore:
    """Open a run's chain store read-only.

    Raises:
        NsadError: The store cannot be opened; see ChainStore.
    """
    return ChainStore(path, read_only=True, lock_timeout=patience)


def chain_sets(store: ChainStore) -> list[ChainSet]:
    """List the sets of a store, the latest last."""
    return [_chain_set(store, *found) for found in store.sets()]


def _chain_set(store: ChainStore, model: str, model_key: str, sampling: str, problems: int, chains: int) -> ChainSet:
    key = {"model": model, "model_key": model_key, "sampling": sampling}
    counts = store.counts(**key).values()
    min_chains, most = min(counts, default=0), max(counts, default=0)
    return ChainSet(
        **key,
        problems=problems,
        chains=chains,
        min_chains=min_chains,
        most=most,
        greedy=store.has_greedy_chains(**key),
        rankers=tuple(store.rankers_of(**key)),
    )


def default_set(sets: Sequence[ChainSet]) -> ChainSet | None:
    """Return the latest set with several chains per problem, else the latest set; None if there is none."""
    return next((item for item in reversed(sets) if item.has_votes), sets[-1] if sets else None)


def iter_results(
    store: ChainStore,
    chosen: ChainSet,
    ranker: str | None,
    rules: Sequence[str],
    first: Mapping[str, int] | None = None,
) -> Iterator[dict[str, ProblemResult]]:
    """Summarise every problem's votes, in batches.

    Args:
        store: The chain store.
        chosen: The set of chains.
        ranker: The ranker whose scores are the weights.
        rules: The rules to apply.
        first: Restrict the votes to these problems and, for each, to this many chains, the first by index.

    Yields:
        Summaries by problem id.
    """
    rows: list[ChainRow] = []
    seen, taken, last = 0, 0, ""
    for row in store.rows_without_text(ranker=ranker, **chosen.key):
        if first is not None and row[0] not in first:
            continue
        if row[0] != last:
            if seen == BATCH_SIZE:
                yield {found.problem_id: found for found in problem_results(rows, rules)}
                rows, seen = [], 0
            last, taken = row[0], 0
            seen += 1
        taken += 1
        if first is None or taken <= first[last]:
            rows.append(row)
    yield {found.problem_id: found for found in problem_results(rows, rules)}


def compared_counts(
    stores: tuple[ChainStore, ChainStore], sets: tuple[ChainSet, ChainSet]
) -> tuple[dict[str, int], ...]:
    """Return, for each of two sets, the number of chains of each common problem that a comparison uses.

    Both sides use the smaller of their two numbers, except that a greedy chain is compared with all sampled chains.
    """
    a, b = (store.counts(**chosen.key) for store, chosen in zip(stores, sets, strict=True))
    both = [problem for problem in a if problem in b]
    if sets[0].greedy != sets[1].greedy:
        return {problem: a[problem] for problem in both}, {problem: b[problem] for problem in both}
    least = {problem: min(a[problem], b[problem]) for problem in both}
    return least, least


def chains_of_problem(store: ChainStore, chosen: ChainSet, problem_id: str, ranker: str | None) -> list[Chain]:
    """Return one problem's chains with their texts."""
    return store.get(problem_id, ranker=ranker, **chosen.key)


def find_problem(problems: Sequence[Problem], wanted: str) -> list[Problem]:
    """Find problems by position or id.

    Args:
        problems: The problems.
        wanted: A position of up to five digits (1 is the first, -1 the last), or an id or its prefix.

    Returns:
        The matching problems; several if the prefix is ambiguous.
    """
    if re.fullmatch(r"-?[0-9]{1,5}", wanted):
        place = int(wanted)
        inside = 0 < place <= len(problems) or -len(problems) <= place < 0
        return [problems[place - 1 if place > 0 else place]] if inside else []
    whole = [problem for problem in problems if problem.id == wanted]
    return whole or [problem for problem in problems if wanted and problem.id.startswith(wanted.lower())]
