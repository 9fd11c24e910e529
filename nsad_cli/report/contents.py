"""Everything that a report shows of a run, collected from its folder; nothing is written and no model is loaded."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import EVAL, EVAL_BEFORE, NAT, RANKER, RUN_ORDER
from nsad_cli.errors import NsadError
from nsad_cli.report.curves import StageCurves, read_curves
from nsad_cli.report.numbers import number
from nsad_cli.report.results import NegativeEffect, Ranking, Result, negatives_of, ranking_of, results_of
from nsad_cli.report.stored_votes import StoredVotes, read_votes
from nsad_cli.report.study import Study, read_study, study_path
from nsad_cli.runs.command import command_line
from nsad_cli.runs.run import display_state
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store
from nsad_cli.utils.api_keys import redact_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nsad_cli.runs.run import Run

LOCK_TIMEOUT_SECONDS = 2.0
"""Seconds to wait for another process that writes to a store."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage's state and what it recorded; None for what it did not."""

    name: str
    state: str
    seconds: float | None
    examples: float | None
    steps: float | None
    tokens: float | None
    parameters: float | None
    held_out_loss: float | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The number of a teacher's samples for problems of one subject with one verdict."""

    teacher: str
    subject: str
    verdict: str
    draws: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a run's report; a part that the run does not have is empty or None.

    Attributes:
        name: The run's name.
        created: When the run was created (UTC).
        versions: Versions of NSAD, Python and the libraries, by name.
        commands: The commands that created the run and ran its stages, in the order in which they ran.
        settings: Every setting of the recipe as a dotted key and a value.
        recipe: The text of recipe.yaml, without secrets.
        stages: The stages that have started.
        problems: The number of collected problems; None without a collection.
        ledger: Samples by teacher, subject and verdict.
        curves: Metrics of the stages by step.
        results: Accuracies by benchmark, model and rule.
        ranking: How well the ranker ranks.
        negatives: The effect of NAT's negative branch in the evaluation.
        votes: Votes from the stored chains.
        study: The study of the same name.
        unreadable: Sentences on the parts that could not be read.
    """

    name: str
    created: str
    versions: Mapping[str, str]
    commands: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    recipe: str
    stages: tuple[StageRow, ...]
    problems: int | None
    ledger: tuple[LedgerRow, ...]
    curves: tuple[StageCurves, ...]
    results: tuple[Result, ...]
    ranking: Ranking | None
    negatives: tuple[NegativeEffect, ...]
    votes: StoredVotes
    study: Study | None
    unreadable: tuple[str, ...]


def collect_contents(run: Run) -> Contents:
    """Collect the contents of a run's report.

    Raises:
        NsadError: The manifest cannot be read; other files that cannot be read are named in `unreadable`.
    """
    manifest, unreadable = run.manifest(), list[str]()
    stages: dict[str, dict[str, Any]] = manifest["stages"]
    results = {name: state.get("result", {}) for name, state in stages.items()}
    collected = results.get("collect", {})
    settings: tuple[tuple[str, str], ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    votes, recipe, study = StoredVotes(), "", None
    with _part(unreadable, "recipe"):
        settings = tuple(_flat(run.recipe.model_dump(mode="json")))
    with _part(unreadable, "recipe's file"):
        recipe = "\n".join(map(redact_argument, (run.path / "recipe.yaml").read_text(encoding="utf-8").splitlines()))
    with _part(unreadable, "rationales"):
        ledger = _ledger(run, collected.get("params"))
    with _part(unreadable, "chains"):
        votes = _votes(run, results)
    with _part(unreadable, "study"):
        found = study_path(run.name)
        study = None if found is None else read_study(found)
    ids = collected.get("problem_ids")
    return Contents(
        name=run.name,
        created=_date(manifest["created"]),
        versions={str(name): str(version) for name, version in manifest["versions"].items()},
        commands=_commands(manifest),
        settings=settings,
        recipe=recipe,
        stages=tuple(_stage_row(run, name, state) for name, state in stages.items()),
        problems=len(ids) if isinstance(ids, list) else None,
        ledger=ledger,
        curves=read_curves(run.events.read(), RUN_ORDER),
        results=results_of(results.get(EVAL_BEFORE.name, {})) + results_of(results.get(EVAL.name, {})),
        ranking=ranking_of(results.get(RANKER.name, {})),
        negatives=negatives_of(results.get(EVAL.name, {})),
        votes=votes,
        study=study,
        unreadable=tuple(unreadable),
    )


@contextlib.contextmanager
def _part(unreadable: list[str], name: str) -> Iterator[None]:
    """Leave a part out if its file cannot be read, with a sentence."""
    try:
        yield
    except (NsadError, OSError, UnicodeDecodeError) as error:
        why = error.why if isinstance(error, NsadError) else str(error)
        unreadable.append(f"The run's {name} could not be read: {why}.")


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, ", ".join(redact_argument(str(item)) for item in value) or "none"
    elif not isinstance(value, dict):
        yield key, "none" if value is None else redact_argument(str(value))


def _date(seconds: float) -> str:
    """Format seconds since the epoch, in UTC so that the page does not depend on the machine."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _commands(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    stages = sorted(manifest["stages"].values(), key=lambda state: state.get("started", 0.0))
    lines = [command_line(item.get("command")) for item in (manifest, *stages)]
    return tuple(dict.fromkeys(line for line in lines if line is not None))


def _stage_row(run: Run, name: str, state: Mapping[str, Any]) -> StageRow:
    result = state.get("result", {})
    seconds = number(state.get("seconds")) if "ended" in state else None
    keys = ("examples", "steps", "tokens", "trained_parameters", "held_out_loss")
    return StageRow(name, display_state(run, name), seconds, *(number(result.get(key)) for key in keys))


def _ledger(run: Run, params: Any) -> tuple[LedgerRow, ...]:
    if not run.store_path.is_file():
        return ()
    with Store(run.store_path, read_only=True, lock_timeout=LOCK_TIMEOUT_SECONDS) as store:
        return tuple(LedgerRow(*row) for row in store.verdicts.counts(params if isinstance(params, str) else None))


def _votes(run: Run, results: Mapping[str, Mapping[str, Any]]) -> StoredVotes:
    """Read the votes on problems that no stage of the run has learned from or collected."""
    if not run.chains_path.is_file():
        return StoredVotes()
    ids = [result.get("problem_ids") for result in results.values()]
    seen = {key for found in ids if isinstance(found, list) for key in found if isinstance(key, str)}
    weights = {name: result["weights"] for name, result in results.items() if isinstance(result.get("weights"), str)}
    with ChainStore(run.chains_path, read_only=True, lock_timeout=LOCK_TIMEOUT_SECONDS) as store:
        return read_votes(store, seen, weights)


def nat_effects(contents: Contents) -> tuple[tuple[float, float], ...]:
    """Return (step, KL) of the negative branch's effect at each check of NAT's training."""
    return next((item.negative_effect for item in contents.curves if item.stage == NAT.name), ())
