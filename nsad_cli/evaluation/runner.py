"""Measuring one model on one benchmark: a greedy chain and n sampled ones a problem, kept as they finish."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nsad_cli.answers.checker import Checker
from nsad_cli.chains import ChainStore
from nsad_cli.evaluation.statistics import wilson
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampler, Sampling, Task
from nsad_cli.prompts import FEW_SHOT
from nsad_cli.runs import content_key
from nsad_cli.solve import Ranker, complete
from nsad_cli.types import Chain, Finish, Problem
from nsad_cli.voting import any_right, vote, winner_is_right

WITHOUT_RANKER = ("sc", "wsc")
WITH_RANKER = ("asc", "asc-add", "best")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a model by name and key, with its sampler."""

    model: str
    model_key: str
    sampler: Sampler


def sample_all(
    subject: Subject,
    problems: Sequence[Problem],
    sampling: Sampling,
    samples: int,
    greedy: bool,
    seed: int,
    store: ChainStore,
    checker: Checker,
    on_progress: Callable[[int, int, int], None],
) -> dict[str, tuple[list[Chain], list[Chain]]]:
    """Each problem's (greedy, sampled) chains; those that the store has are not sampled again.

    on_progress: chains done, chains wanted, tokens generated now. A problem's chains are kept when its last is done.
    """
    greedy_sampling = dataclasses.replace(sampling, temperature=0.0, top_p=1.0)
    passes: list[tuple[Sampling, tuple[int, ...]]] = [(greedy_sampling, (GREEDY_INDEX,))] if greedy else []
    passes += [(sampling, tuple(range(samples)))] if samples else []
    total = sum(len(indices) for _, indices in passes) * len(problems)
    found: list[dict[str, list[Chain]]] = []
    done = tokens = 0

    def count(new: int) -> None:
        nonlocal tokens
        tokens += new

    for how, indices in passes:
        key = {"model": subject.model, "model_key": subject.model_key, "sampling": sampling_key(how, seed)}
        have: dict[str, list[Chain]] = {}
        for problem in problems:
            stored = _wanted(store.get(problem.id, **key), indices)
            if len(stored) == len(indices):
                # `solve` keeps chains without knowing the gold answer, and checkers improve: judge them again.
                have[problem.id] = complete(stored, problem.answer, checker)
                if have[problem.id] != stored:
                    store.put(problem, have[problem.id], **key)
        done += len(have) * len(indices)
        on_progress(done, total, tokens)
        by_id = {problem.id: problem for problem in problems}
        arriving: dict[str, list[Chain]] = {problem.id: [] for problem in problems if problem.id not in have}
        tasks = [Task(problem.id, problem.question, indices, kept=problem.id in have) for problem in problems]
        for chain in subject.sampler.sample(tasks, how, seed=str(seed), on_tokens=count):
            group = arriving.get(chain.problem_id)
            if group is None:
                continue
            group.append(chain)
            done += 1
            if len(group) == len(indices):
                problem = by_id[chain.problem_id]
                have[problem.id] = complete(sorted(group, key=lambda item: item.index), problem.answer, checker)
                store.put(problem, have[problem.id], **key)
            on_progress(done, total, tokens)
        found.append(have)
    empty: dict[str, list[Chain]] = {problem.id: [] for problem in problems}
    greedy_chains = found[0] if greedy else empty
    sampled = found[-1] if samples else empty
    return {problem.id: (greedy_chains[problem.id], sampled[problem.id]) for problem in problems}


def score_all(
    subject: Subject,
    problems: Sequence[Problem],
    chains: dict[str, list[Chain]],
    ranker: Ranker,
    sampling: Sampling,
    seed: int,
    store: ChainStore,
) -> dict[str, list[Chain]]:
    """Give sampled chains a ranker's weights; those that the store has are not scored again."""
    key = {"model": subject.model, "model_key": subject.model_key, "sampling": sampling_key(sampling, seed)}
    scored = {}
    for problem in problems:
        known = {chain.index: chain.weight for chain in store.get(problem.id, ranker=ranker.name, **key)}
        mine = chains[problem.id]
        if any(known.get(chain.index) is None for chain in mine):
            fresh = ranker.score(problem, mine)
            known = {chain.index: score for chain, score in zip(mine, fresh, strict=True)}
            store.put_weights(problem.id, known, ranker=ranker.name, **key)
        scored[problem.id] = [dataclasses.replace(chain, weight=known[chain.index]) for chain in mine]
    return scored


def result_rows(
    benchmark: str,
    model: str,
    problems: Sequence[Problem],
    chains: dict[str, tuple[list[Chain], list[Chain]]],
    samples: int,
) -> list[dict[str, Any]]:
    """One row for greedy answers and one for each rule that the chains allow, as in `nsad eval --json`.

    accuracy, ci95, unanswered and truncated are fractions: of problems, the last two of chains; tokens is their sum.
    method is greedy or vote, or few-shot for both; a greedy row has no rule.
    """
    greedy = [chains[problem.id][0] for problem in problems]
    sampled = [chains[problem.id][1] for problem in problems]
    rows = []
    if any(greedy):
        right = sum(bool(group[0].correct) for group in greedy)
        rows.append(_row(benchmark, model, None, right, len(problems), 1, greedy))
    if not any(sampled):
        return rows
    scored = any(chain.weight is not None for group in sampled for chain in group)
    for rule in (*WITHOUT_RANKER, *(WITH_RANKER if scored else ())):
        right = sum(winner_is_right(group, vote(group, _possible(group, rule))) for group in sampled)
        rows.append(_row(benchmark, model, rule, right, len(problems), samples, sampled))
    right = sum(any_right(group) for group in sampled)
    rows.append(_row(benchmark, model, "any", right, len(problems), samples, sampled))
    return rows


def sampling_key(sampling: Sampling, seed: int) -> str:
    """Hash of all that shapes a sampled chain beside the model."""
    return content_key("sampling", dataclasses.asdict(sampling), seed)


def _possible(group: Sequence[Chain], rule: str) -> str:
    """A problem none of whose chains could be scored falls back to counting."""
    return "sc" if rule in WITH_RANKER and all(chain.weight is None for chain in group) else rule


def _wanted(chains: Sequence[Chain], indices: tuple[int, ...]) -> list[Chain]:
    return [chain for chain in chains if chain.index in indices]


def _row(
    benchmark: str,
    model: str,
    rule: str | None,
    right: int,
    n: int,
    samples: int,
    groups: Sequence[Sequence[Chain]],
) -> dict[str, Any]:
    flat = [chain for group in groups for chain in group]
    return {
        "benchmark": benchmark,
        "model": model,
        "method": FEW_SHOT if model == FEW_SHOT else "vote" if rule else "greedy",
        "rule": rule,
        "n": n,
        "samples": samples,
        "accuracy": right / n if n else 0.0,
        "ci95": list(wilson(right, n)),
        "unanswered": sum(chain.answer is None for chain in flat) / max(len(flat), 1),
        "truncated": sum(chain.finish is Finish.LENGTH for chain in flat) / max(len(flat), 1),
        "tokens": sum(len(chain.logprobs) for chain in flat),
    }
