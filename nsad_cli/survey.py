"""A chain store looked over: what is in it, every problem's votes in short, and one problem's chains in full."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsad_cli.ballots.queues import Outcome
from nsad_cli.ballots.tally import Row, outcomes
from nsad_cli.chains import ChainStore
from nsad_cli.types import Chain, Problem

PART = 400
"""Problems whose votes are held at once."""
PATIENCE = 0.2
"""Seconds to wait for another process's write: a screen cannot stand still for longer."""


@dataclass(frozen=True, slots=True)
class ChainSet:
    """Chains of one model, drawn in one way."""

    model: str
    model_key: str
    sampling: str
    problems: int
    chains: int
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
        each = self.chains / max(self.problems, 1)
        many = "1 chain each" if each == 1 else f"{each:.3g} chains each"
        return f"{self.model} · {self.problems:,} problems · {many} · {self.model_key[:4]}/{self.sampling[:4]}"


def open_store(path: Path) -> ChainStore:
    """Open a run's chain store to read, with little patience. Raises NsadError as ChainStore does."""
    return ChainStore(path, read_only=True, patience=PATIENCE)


def chain_sets(store: ChainStore) -> list[ChainSet]:
    """The sets, the latest last."""
    return [
        ChainSet(*found, tuple(store.rankers_of(model=found[0], model_key=found[1], sampling=found[2])))
        for found in store.sets()
    ]


def default_set(sets: Sequence[ChainSet]) -> ChainSet | None:
    """The latest with several chains a problem, else the latest."""
    return next((item for item in reversed(sets) if item.several), sets[-1] if sets else None)


def survey(
    store: ChainStore, chosen: ChainSet, ranker: str | None, rules: Sequence[str]
) -> Iterator[dict[str, Outcome]]:
    """Every problem's votes by its id, in parts."""
    rows: list[Row] = []
    seen, last = 0, ""
    for row in store.light(ranker=ranker, **chosen.key):
        if row[0] != last:
            if seen == PART:
                yield {found.problem_id: found for found in outcomes(rows, rules)}
                rows, seen = [], 0
            last = row[0]
            seen += 1
        rows.append(row)
    yield {found.problem_id: found for found in outcomes(rows, rules)}


def chains_of(store: ChainStore, chosen: ChainSet, problem_id: str, ranker: str | None) -> list[Chain]:
    """One problem's chains in full."""
    return store.get(problem_id, ranker=ranker, **chosen.key)


def find_problem(problems: Sequence[Problem], wanted: str) -> list[Problem]:
    """The one at that place for a number of up to five digits (1 is the first, -1 the last), else those whose id begins
    so."""
    if re.fullmatch(r"-?[0-9]{1,5}", wanted):
        place = int(wanted)
        inside = 0 < place <= len(problems) or -len(problems) <= place < 0
        return [problems[place - 1 if place > 0 else place]] if inside else []
    whole = [problem for problem in problems if problem.id == wanted]
    return whole or [problem for problem in problems if wanted and problem.id.startswith(wanted.lower())]
