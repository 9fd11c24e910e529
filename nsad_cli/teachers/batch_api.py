"""OpenAI's Batch API: requests handed over as a file, and replies fetched within a day, at half the price."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.utils.rate_limit import MAX_RETRIES, backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.teachers.openai_chat import ChatModel

ENDPOINT = "/v1/chat/completions"
MAX_REQUESTS = 50_000
MAX_BYTES = 190_000_000
"""Of one batch; the API takes 200 MB."""
ENDED = ("completed", "failed", "expired", "cancelled")
DAY = 86400.0
"""Seconds; more than the clocks here and there can differ by."""


class UnreachableError(NsadError):
    """The API does not answer; later it may."""


class LineError(Exception):
    """Why a batch's request has no reply, with the code and parameter that the API names."""

    def __init__(self, status: int | None, error: dict[str, Any]) -> None:
        super().__init__(error.get("message") or error.get("code") or "no reply")
        self.status, self.code, self.param = status, error.get("code"), error.get("param")


@dataclass(frozen=True, slots=True)
class State:
    """What the API says of a batch."""

    status: str
    answered: int = 0
    """Requests that have a reply."""
    files: tuple[str, ...] = ()
    """Of replies and of errors, where there are any."""
    code: str = ""
    why: str = ""
    """Of the whole batch's failure."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED


class BatchApi:
    """The files and batches of one account."""

    def __init__(self, teacher: ChatModel) -> None:
        from openai import OpenAI

        urls = teacher.settings.base_url
        self.teacher = teacher
        self.client: Any = OpenAI(
            api_key=teacher.key or "none",
            base_url=urls[0] if urls else None,
            max_retries=MAX_RETRIES,
            timeout=teacher.settings.timeout,
        )
        self.base_url = str(self.client.base_url)

    def submit(self, requests: bytes, token: str, params: str) -> str:
        """Hand over JSON lines of requests under a token of ours; returns the batch's id.

        Raises Unreachable where nobody can say whether the batch was made (`find` can, later), NsadError where it
        was not.
        """
        import openai

        started, attempt = time.time(), 0
        with self._told():
            file = self.client.files.create(file=("nsad.jsonl", requests), purpose="batch")
            if not hasattr(file, "id"):
                raise NsadError(f"{self.base_url} offers no batches", "it answers with no JSON", "check --base-url")
            # The client's own retries could make a second batch after an answer that was lost on its way.
            once = self.client.with_options(max_retries=0).batches
            while True:
                try:
                    batch = once.create(
                        input_file_id=file.id,
                        endpoint=ENDPOINT,
                        completion_window="24h",
                        metadata={"nsad": token, "params": params},
                    )
                    return str(batch.id)
                except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
                    if attempt == MAX_RETRIES or getattr(error, "code", "") == "insufficient_quota":
                        raise
                time.sleep(backoff(attempt))
                attempt += 1
                if (found := self.find(token, started)) is not None:
                    return found

    def find(self, token: str, since: float) -> str | None:
        """The id of the batch that was made under a token, not long before `since`; None where there is none."""
        with self._told():
            for batch in self.client.batches.list(limit=100):  # the newest first
                if (batch.metadata or {}).get("nsad") == token:
                    return str(batch.id)
                if batch.created_at < since - DAY:
                    break
        return None

    def state(self, batch_id: str) -> State | None:
        """How a batch stands; None where the API does not know it."""
        import openai

        with self._told():
            try:
                batch = self.client.batches.retrieve(batch_id)
            except openai.NotFoundError:
                return None
        counts, errors = batch.request_counts, (batch.errors.data if batch.errors else None) or []
        return State(
            batch.status,
            counts.completed if counts else 0,
            tuple(name for name in (batch.output_file_id, batch.error_file_id) if name),
            str(errors[0].code) if errors else "",
            "; ".join(str(error.message) for error in errors[:3]),
        )

    def replies(self, file_id: str) -> Iterator[dict[str, Any]]:
        """The lines of a file of replies or errors; what is no JSON object is passed over.

        Raises LookupError where the file is gone.
        """
        import openai

        with tempfile.TemporaryDirectory(prefix="nsad-batch-") as folder:
            path = Path(folder) / "replies.jsonl"
            with self._told():
                try:
                    with self.client.files.with_streaming_response.content(file_id) as response:
                        response.stream_to_file(path)
                except openai.NotFoundError:
                    raise LookupError(file_id) from None
                except openai.OpenAIError:
                    raise
                except Exception as error:  # the transport's own: a connection that broke on the way
                    raise openai.APIConnectionError(message=str(error), request=None) from error
            with path.open("rb") as file:
                for raw in file:
                    with contextlib.suppress(ValueError):
                        value = json.loads(raw)
                        if isinstance(value, dict):
                            yield value

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell the client's errors in three lines."""
        import openai

        try:
            yield
        except openai.OpenAIError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> NsadError:
        import openai

        said = self.teacher.scrub(error.__cause__ or error)
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return NsadError(
                f"{self.base_url} refused the API key",
                said,
                f"check the variable {self.teacher.settings.api_key_env}",
            )
        if isinstance(error, openai.NotFoundError):
            return NsadError(
                f"{self.base_url} offers no batches",
                said,
                "ask it without a batch: --no-batch",
            )
        passing = isinstance(error, openai.APIConnectionError | openai.InternalServerError | openai.RateLimitError)
        passing = passing and getattr(error, "code", None) != "insufficient_quota"
        return (UnreachableError if passing else NsadError)(
            f"{self.base_url} cannot be asked about batches" if passing else f"{self.base_url} refused a batch",
            said,
            "run the same command again: batches under way go on without it",
        )
