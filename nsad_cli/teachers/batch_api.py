"""OpenAI's Batch API: requests are uploaded as a file and answered within a day, at half the price."""

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
"""Size limit of one batch; the API accepts 200 MB."""
ENDED = ("completed", "failed", "expired", "cancelled")
CLOCK_TOLERANCE_SECONDS = 86400.0
"""More than the clocks of this machine and of the API can differ by."""


class UnreachableError(NsadError):
    """The API does not answer; a later request may succeed."""


class LineError(Exception):
    """A request of a batch has no reply; `code` and `param` are those of the API's error."""

    def __init__(self, status: int | None, error: dict[str, Any]) -> None:
        super().__init__(error.get("message") or error.get("code") or "no reply")
        self.status, self.code, self.param = status, error.get("code"), error.get("param")


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of a batch at the API."""

    status: str
    answered: int = 0
    """The number of requests that have a reply."""
    files: tuple[str, ...] = ()
    """The ids of the files of replies and of errors, if there are any."""
    code: str = ""
    """The error code of a batch that failed as a whole."""
    reason: str = ""
    """The error messages of a batch that failed as a whole."""

    @property
    def ended(self) -> bool:
        """Whether no more replies will arrive."""
        return self.status in ENDED


class BatchApi:
    """Client of the files and batches of one account."""

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
        """Submit a batch.

        Args:
            requests: JSON lines of requests.
            token: A unique token, stored as the batch's metadata, by which `find` finds the batch.
            params: The key of the teacher's parameters, stored as metadata too.

        Returns:
            The batch's id at the API.

        Raises:
            UnreachableError: It is unknown whether the batch was created; `find` can say later.
            NsadError: The batch was not created.
        """
        import openai

        started, attempt = time.time(), 0
        with self._errors():
            file = self.client.files.create(file=("nsad.jsonl", requests), purpose="batch")
            if not hasattr(file, "id"):
                raise NsadError(f"{self.base_url} has no batch API", "its reply is not JSON", "check --base-url")
            # The client's own retries could create a second batch after a reply that was lost.
            batches = self.client.with_options(max_retries=0).batches
            while True:
                try:
                    batch = batches.create(
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
        """Find a batch by its token.

        Args:
            token: The token that it was submitted with.
            since: The Unix time before which it was not submitted.

        Returns:
            The batch's id, or None if there is none.
        """
        with self._errors():
            for batch in self.client.batches.list(limit=100):  # newest first
                if (batch.metadata or {}).get("nsad") == token:
                    return str(batch.id)
                if batch.created_at < since - CLOCK_TOLERANCE_SECONDS:
                    break
        return None

    def state(self, batch_id: str) -> BatchState | None:
        """Read the state of a batch; None if the API does not know it."""
        import openai

        with self._errors():
            try:
                batch = self.client.batches.retrieve(batch_id)
            except openai.NotFoundError:
                return None
        counts, errors = batch.request_counts, (batch.errors.data if batch.errors else None) or []
        return BatchState(
            batch.status,
            counts.completed if counts else 0,
            tuple(name for name in (batch.output_file_id, batch.error_file_id) if name),
            str(errors[0].code) if errors else "",
            "; ".join(str(error.message) for error in errors[:3]),
        )

    def replies(self, file_id: str) -> Iterator[dict[str, Any]]:
        """Iterate over the lines of a file of replies or errors; lines that are not JSON objects are skipped.

        Raises:
            LookupError: The file no longer exists.
        """
        import openai

        with tempfile.TemporaryDirectory(prefix="nsad-batch-") as folder:
            path = Path(folder) / "replies.jsonl"
            with self._errors():
                try:
                    with self.client.files.with_streaming_response.content(file_id) as response:
                        response.stream_to_file(path)
                except openai.NotFoundError:
                    raise LookupError(file_id) from None
                except openai.OpenAIError:
                    raise
                except Exception as error:  # the HTTP library's own errors, if the connection breaks
                    # openai declares a request, and only keeps it
                    raise openai.APIConnectionError(message=str(error), request=None) from error  # type: ignore[arg-type]
            with path.open("rb") as file:
                for raw in file:
                    with contextlib.suppress(ValueError):
                        value = json.loads(raw)
                        if isinstance(value, dict):
                            yield value

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the client's errors into NsadError."""
        import openai

        try:
            yield
        except openai.OpenAIError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> NsadError:
        import openai

        text = self.teacher.scrub(error.__cause__ or error)
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return NsadError(
                f"{self.base_url} refused the API key",
                text,
                f"check the variable {self.teacher.settings.api_key_env}",
            )
        if isinstance(error, openai.NotFoundError):
            return NsadError(
                f"{self.base_url} has no batch API",
                text,
                "send plain requests: --no-batch",
            )
        temporary = isinstance(error, openai.APIConnectionError | openai.InternalServerError | openai.RateLimitError)
        temporary = temporary and getattr(error, "code", None) != "insufficient_quota"
        return (UnreachableError if temporary else NsadError)(
            f"the batch API of {self.base_url} does not answer" if temporary else f"{self.base_url} refused a batch",
            text,
            "run the same command again: submitted batches continue without it",
        )
