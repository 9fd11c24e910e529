"""A chain store looked over: what is in it, every problem's votes in short, and one problem's chains in full."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.store.chains import ChainStore
from nsad_cli.voting.vectorised import Row, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nsad_cli.types import Chain, Problem
    from nsad_cli.voting.problem_filters import ProblemResult

PART = 400
"""Problems whose votes are held at once."""
READ_TIMEOUT_SECONDS = 0.2
"""Seconds to wait for another process's write, where no screen stands still meanwhile."""


@dataclass(frozen=True, slots=True)
class ChainSet:
    """Chains of one model, drawn in one way."""

    model: str
    model_key: str
    sampling: str
    problems: int
    chains: int
    fewest: int
    """Chains that the problem with the fewest has."""
    most: int
    """Chains that the problem with the most has."""
    greedy: bool
    """Whether they are greedy ones, one a problem."""
    rankers: tuple[str, ...]
    """Those that have scored any of its chains, the latest last."""

    @property
    def key(self) -> dict[str, str]:
        """As ChainStore takes it."""
        return {"model": self.model, "model_key": self.model_key, "sampling": self.sampling}

    @property
    def ranker(self) -> str | None:
        """The ranker whose weights count unless another is asked for: the latest."""
        return self.rankers[-1] if self.rankers else None

    @property
    def several(self) -> bool:
        """Whether there is anything to vote on: more chains than problems."""
        return self.chains > self.problems

    @property
    def title(self) -> str:
        """In a few words; sets of one model are told apart by their keys' beginnings."""
        problems = f"{self.problems:,} problem{'' if self.problems == 1 else 's'}"
        return f"{self.model} · {problems} · {self.each} · {self.model_key[:4]}/{self.sampling[:4]}"

    @property
    def each(self) -> str:
        """How many chains its problems have."""
        if self.greedy:
            return "greedy"
        many = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"{many} chain{'' if self.most == 1 else 's'} each"


def open_store(path: Path, patience: float = READ_TIMEOUT_SECONDS) -> ChainStore:
    """Open a run's chain store to read, with little patience. Raises NsadError as ChainStore does."""
    return ChainStore(path, read_only=True, lock_timeout=patience)


def chain_sets(store: ChainStore) -> list[ChainSet]:
    """The sets, the latest last."""
    return [_chain_set(store, *found) for found in store.sets()]


def _chain_set(store: ChainStore, model: str, model_key: str, sampling: str, problems: int, chains: int) -> ChainSet:
    key = {"model": model, "model_key": model_key, "sampling": sampling}
    counts = store.counts(**key).values()
    fewest, most = min(counts, default=0), max(counts, default=0)
    return ChainSet(
        **key,
        problems=problems,
        chains=chains,
        fewest=fewest,
        most=most,
        greedy=store.has_greedy_chains(**key),
        rankers=tuple(store.rankers_of(**key)),
    )


def default_set(sets: Sequence[ChainSet]) -> ChainSet | None:
    """The latest with several chains a problem, else the latest."""
    return next((item for item in reversed(sets) if item.several), sets[-1] if sets else None)


def survey(
    store: ChainStore,
    chosen: ChainSet,
    ranker: str | None,
    rules: Sequence[str],
    first: Mapping[str, int] | None = None,
) -> Iterator[dict[str, ProblemResult]]:
    """Every problem's votes by its id, in parts.

    first: votes only of these problems, each over so many of its chains, the first by their index.
    """
    rows: list[Row] = []
    seen, taken, last = 0, 0, ""
    for row in store.rows_without_text(ranker=ranker, **chosen.key):
        if first is not None and row[0] not in first:
            continue
        if row[0] != last:
            if seen == PART:
                yield {found.problem_id: found for found in outcomes(rows, rules)}
                rows, seen = [], 0
            last, taken = row[0], 0
            seen += 1
        taken += 1
        if first is None or taken <= first[last]:
            rows.append(row)
    yield {found.problem_id: found for found in outcomes(rows, rules)}


def shared(stores: tuple[ChainStore, ChainStore], sets: tuple[ChainSet, ChainSet]) -> tuple[dict[str, int], ...]:
    """How many chains of each problem that both sets have are set against each other, of the one and of the other.

    As many as both have of it; but a greedy chain stands against all that were sampled, for it takes the place of them.
    """
    a, b = (store.counts(**chosen.key) for store, chosen in zip(stores, sets, strict=True))
    both = [problem for problem in a if problem in b]
    if sets[0].greedy != sets[1].greedy:
        return {problem: a[problem] for problem in both}, {problem: b[problem] for problem in both}
    least = {problem: min(a[problem], b[problem]) for problem in both}
    return least, least


def chains_of(store: ChainStore, chosen: ChainSet, problem_id: str, ranker: str | None) -> list[Chain]:
    """One problem's chains in full."""
    return store.get(problem_id, ranker=ranker, **chosen.key)


def find_problem(problems: Sequence[Problem], wanted: str) -> list[Problem]:
    """The one at that place for a number of up to five digits (1 is the first, -1 the last), else those whose id begins
    so.
    """
    if re.fullmatch(r"-?[0-9]{1,5}", wanted):
        place = int(wanted)
        inside = 0 < place <= len(problems) or -len(problems) <= place < 0
        return [problems[place - 1 if place > 0 else place]] if inside else []
    whole = [problem for problem in problems if problem.id == wanted]
    return whole or [problem for problem in problems if wanted and problem.id.startswith(wanted.lower())]
