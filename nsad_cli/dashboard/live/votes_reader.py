"""Background reading for the votes screen: a run's chain sets, a set's problems, and their votes in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.grading.stored_classes import refresh_classes
from nsad_cli.voting.chain_sets import ChainSet, chain_sets, compared_counts, default_set, iter_results, open_store
from nsad_cli.voting.problem_filters import ProblemResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.types import Problem


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """The chain sets of a store, and the ranker and problems of the set being read."""

    sets: list[ChainSet]
    chosen: ChainSet | None
    ranker: str | None
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class VotesPart:
    """Votes of the next few problems."""

    results: dict[str, ProblemResult]


Pairs = dict[str, tuple[ProblemResult, ProblemResult]]
"""Problems' votes on both sides of a comparison, over the compared chains."""


@dataclass(frozen=True, slots=True)
class ComparisonSide:
    """One side of a comparison: a run's chain set and the ranker whose weights are used."""

    run: str
    path: Path
    chosen: ChainSet
    ranker: str | None

    @property
    def title(self) -> str:
        """The display name."""
        return f"{self.run} · {self.chosen.title}" + (f" · {self.ranker}" if self.ranker else "")


def read_votes(path: Path, set_key: dict[str, str] | None, rules: Sequence[str]) -> Iterator[OpenedStore | VotesPart]:
    """Yield the set with that key, or the default one, and then every problem's votes.

    Raises:
        NsadError: The chain store cannot be read.
    """
    refresh_classes(path)
    with open_store(path) as store:
        sets = chain_sets(store)
        chosen = next((item for item in sets if item.key == set_key), None) or default_set(sets)
        if chosen is None:
            yield OpenedStore(sets, None, None, [])
            return
        yield OpenedStore(sets, chosen, chosen.ranker, store.problems(**chosen.key))
        for results in iter_results(store, chosen, chosen.ranker, rules):
            yield VotesPart(results)


def read_pairs(here: ComparisonSide, there: ComparisonSide, rules: Sequence[str]) -> Iterator[Pairs]:
    """Yield the votes of the problems that both sides have; `compared_counts` decides how many chains are compared."""
    with open_store(here.path) as mine, open_store(there.path) as theirs:
        first, other = compared_counts((mine, theirs), (here.chosen, there.chosen))
        ours = iter_results(mine, here.chosen, here.ranker, rules, first)
        for found, others in zip(ours, iter_results(theirs, there.chosen, there.ranker, rules, other), strict=False):
            # A problem written meanwhile may be in only one of the two results.
            yield {key: (found[key], others[key]) for key in found if key in others}


def find_matches(here: ComparisonSide, text: str) -> Iterator[set[str]]:
    """Yield the ids of the problems whose question or chains contain a text."""
    with open_store(here.path) as store:
        yield store.problems_containing(text, **here.chosen.key)


def list_sides(homes: Sequence[Path], here: ComparisonSide) -> list[ComparisonSide]:
    """List what `here` can be compared with: its chains with other rankers, and the sets of other runs and its own.

    Args:
        homes: Run folders; stores that cannot be read are skipped.
        here: The side that is shown.
    """
    found = [ComparisonSide(here.run, here.path, here.chosen, name) for name in reversed(here.chosen.rankers)]
    for home in homes:
        path = home / "chains.sqlite"
        try:
            with open_store(path) as store:
                sets = chain_sets(store)
        except (NsadError, OSError):
            continue
        found += [ComparisonSide(home.name, path, chosen, chosen.ranker) for chosen in reversed(sets)]
    own = (here.run, here.chosen.key, here.ranker)
    seen, distinct = {str(own)}, []
    for side in found:
        name = str((side.run, side.chosen.key, side.ranker))
        if name not in seen:
            distinct.append(side)
        seen.add(name)
    return distinct


def signature(path: Path) -> tuple[tuple[int, int], ...]:
    """Return sizes and times of the store's file and write-ahead log, which change when the store is written to."""
    found = []
    for name in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = name.stat()
        except OSError:
            continue
        if status.st_size:  # readers create and delete an empty log
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)
