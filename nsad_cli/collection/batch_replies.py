"""Reading the result files of an ended batch: draws, and for each line without one what may be done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.collection.batch_lines import BatchLine
from nsad_cli.errors import NsadError
from nsad_cli.teachers.batch_api import LineError
from nsad_cli.teachers.openai_replies import draws_of, unusable_reason, usage_of, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nsad_cli.collection.budget import Budget
    from nsad_cli.store.records import Batch
    from nsad_cli.teachers.batch_api import BatchApi, BatchState
    from nsad_cli.teachers.openai import OpenAITeacher
    from nsad_cli.types import Draw, Problem

DRAWS_PER_COMMIT = 500


@dataclass
class BatchOutcome:
    """What a batch's files say about the lines that brought fewer draws than requested, by custom id."""

    reasons: dict[str, str] = field(default_factory=dict)
    """Why a line failed."""
    permanent: set[str] = field(default_factory=set)
    """Lines that would fail again."""
    uncounted: set[str] = field(default_factory=set)
    """Lines that are requested again in another form; the failed attempt does not count."""
    error: NsadError | None = None
    """An error that concerns every draw."""


class ReplyReader:
    """Reads the result files of batches of one collection."""

    def __init__(
        self, api: BatchApi, teacher: OpenAITeacher, problems: Mapping[str, Problem], budget: Budget | None
    ) -> None:
        self.api, self.teacher, self.problems, self.budget = api, teacher, problems, budget

    def read(
        self, batch: Batch, state: BatchState, held: set[tuple[str, int]], keep: Callable[[list[Draw]], None]
    ) -> BatchOutcome:
        """Read a batch's files; reading them a second time brings nothing new.

        Args:
            batch: The batch.
            state: Its state at the API, with the names of its files.
            held: Problem ids and numbers of the draws that are still missing; those that arrive are removed.
            keep: Stores draws.
        """
        outcome, lines, arrived = BatchOutcome(), set(batch.lines), []
        settings = dict(self.teacher.request_params)  # as they were when the batch was made: an error may change them
        for value in self._replies(batch, state, outcome):
            custom_id = value.get("custom_id")
            if custom_id not in lines:
                continue
            line = BatchLine.from_custom_id(custom_id)
            try:
                draws = self._draws(line, value)
            except LineError as error:
                self._classify(line, error, settings, outcome)
                continue
            new = [draw for draw in draws if (draw.problem_id, draw.index) in held]
            held -= {(draw.problem_id, draw.index) for draw in new}
            arrived += new
            if len(arrived) >= DRAWS_PER_COMMIT:
                keep(arrived)
                arrived = []
        if arrived:
            keep(arrived)
        return outcome

    def _replies(self, batch: Batch, state: BatchState, outcome: BatchOutcome) -> Iterator[dict[str, Any]]:
        try:
            for name in state.files:
                yield from self.api.replies(name)
        except LookupError:  # requesting the draws again would cost again: the user has to decide that
            outcome.permanent |= set(batch.lines)
            outcome.reasons |= dict.fromkeys(batch.lines, f"the replies to the batch {batch.id} are no longer there")

    def _draws(self, line: BatchLine, value: dict[str, Any]) -> list[Draw]:
        """Read the draws of one reply.

        Raises:
            LineError: It has none.
        """
        response = value.get("response") or {}
        status, body = response.get("status_code"), response.get("body") or {}
        if not isinstance(body, dict):
            body = {"message": str(body)}
        if status != 200:
            error = body.get("error") or value.get("error") or {}
            fields = error if isinstance(error, dict) else {}
            raise LineError(status, {**fields, "message": words_of(error) or words_of(body)})
        self.teacher.note_usage(body)
        try:
            draws = draws_of(body, self.teacher.name, line.problem_id, line.numbers)
        except (ValueError, TypeError, AttributeError) as error:
            raise LineError(None, {"message": f"not a chat completion: {error}"}) from None
        if not draws:
            if self.budget is not None:
                question = self.problems[line.problem_id].question if line.problem_id in self.problems else ""
                self.budget.charge(question, len(line.numbers), usage_of(body))
            raise LineError(None, {"message": unusable_reason(body)})
        if len(draws) == 1 < len(line.numbers):
            self.teacher.supports_n = False
        return draws

    def _classify(self, line: BatchLine, error: LineError, settings: dict[str, Any], outcome: BatchOutcome) -> None:
        """Decide whether a failed line is requested again in another form, in the same form, or not at all."""
        custom_id = line.custom_id
        outcome.reasons[custom_id] = self.teacher.scrub(error)
        status = error.status or 0
        if status == 400:
            try:
                retry = self.teacher.adapt_params(error, settings)
            except NsadError as refused:
                outcome.error = refused
                return
            if not retry and len(line.numbers) > 1:
                self.teacher.supports_n, retry = False, True  # the server may not support `n`
            (outcome.uncounted if retry else outcome.permanent).add(custom_id)
        elif 400 < status < 500 and status not in (408, 409, 429):
            outcome.permanent.add(custom_id)
