"""What the votes screen reads in the background: a run's sets, one set's problems, their votes part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.voting.chain_sets import ChainSet, chain_sets, compared_counts, default_set, iter_results, open_store
from nsad_cli.voting.problem_filters import ProblemResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.types import Problem


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """The store is open: its sets, the one that is read, its ranker, its problems."""

    sets: list[ChainSet]
    chosen: ChainSet | None
    ranker: str | None
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class VotesPart:
    """Some more problems' votes."""

    results: dict[str, ProblemResult]


Pairs = dict[str, tuple[ProblemResult, ProblemResult]]
"""Problems' votes on both sides of a comparison, over the chains that are set against each other."""


@dataclass(frozen=True, slots=True)
class ComparisonSide:
    """One side of a comparison: a run's set and the ranker whose weights count."""

    run: str
    path: Path
    chosen: ChainSet
    ranker: str | None

    @property
    def title(self) -> str:
        """In a few words."""
        return f"{self.run} · {self.chosen.title}" + (f" · {self.ranker}" if self.ranker else "")


def read_votes(path: Path, set_key: dict[str, str] | None, rules: Sequence[str]) -> Iterator[OpenedStore | VotesPart]:
    """The set of that key, or the default one; then every problem's votes. Raises NsadError as ChainStore does."""
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
    """The votes of the problems that both sides have; see survey.shared for how many chains of each."""
    with open_store(here.path) as mine, open_store(there.path) as theirs:
        first, other = compared_counts((mine, theirs), (here.chosen, there.chosen))
        ours = iter_results(mine, here.chosen, here.ranker, rules, first)
        for found, others in zip(ours, iter_results(theirs, there.chosen, there.ranker, rules, other), strict=False):
            # What is written meanwhile may be in one reading and not in the other.
            yield {key: (found[key], others[key]) for key in found if key in others}


def find_matches(here: ComparisonSide, text: str) -> Iterator[set[str]]:
    """Ids of the problems whose question or chains hold a text."""
    with open_store(here.path) as store:
        yield store.problems_containing(text, **here.chosen.key)


def list_sides(homes: Sequence[Path], here: ComparisonSide) -> list[ComparisonSide]:
    """What can be compared with `here`: the same chains by other rankers, this run's other sets, other runs' sets.

    homes: runs' folders. Stores that cannot be read are passed over.
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
    """Changes when the store is written to: sizes and times of its file and of its write-ahead log."""
    found = []
    for name in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = name.stat()
        except OSError:
            continue
        if status.st_size:  # an empty log comes and goes with whoever reads
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)
