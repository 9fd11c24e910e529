"""The chat completions API: parameters and requests; `openai_replies` reads the replies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import chat_messages, demonstrations_key
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.teachers.openai_replies import implausible_usage
from nsad_cli.utils.api_keys import address_has_secret, read_key, redact_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.types import Problem

MAX_SAMPLES_PER_REQUEST = 16
"""Maximum number of draws in one request: if the reply is lost, all of them are."""


def _require_address_without_secret(settings: TeacherConfig) -> None:
    """Refuse a key or password in OPENAI_BASE_URL, as the recipe does in `base_url`: addresses are stored and shown."""
    if not settings.base_url and address_has_secret(os.environ.get("OPENAI_BASE_URL", "")):
        raise UsageError(
            "OPENAI_BASE_URL contains a key or a password",
            "addresses are stored in runs and shown in errors",
            f"remove it from the address, and set {settings.api_key_env} instead",
        )


class ChatModel:
    """A model behind a chat completions API: its parameters and requests, adapted to what it supports."""

    def __init__(self, model: str, settings: TeacherConfig) -> None:
        self.name = model
        self.settings = settings
        self.supports_n = True
        """Whether the server supports several draws per request (`n`); set to False when it turns out not to."""
        self._usage_noted = False
        self.expects_distinct_samples = settings.temperature > 0
        """Whether several identical samples of a problem mean that the server does not sample; see `store.copies`."""
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
            **demonstrations_key(settings),
        }
        _require_address_without_secret(settings)
        self.key = read_key(settings.api_key_env, f"the teacher `{model}`") or None
        self.request_params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            # OpenAI's newer models accept only the longer name, many servers only the older one.
            "max_tokens" if settings.base_url else "max_completion_tokens": settings.max_tokens,
        }
        if self.key is None and not settings.base_url:
            raise NsadError(
                f"no API key for the teacher `{model}`",
                f"the variable {settings.api_key_env} is not set",
                f"export {settings.api_key_env}=…, or pass your own server with --base-url",
            )

    def body(self, problem: Problem, draws: int) -> dict[str, Any]:
        """Build the body of a request for draws of a problem."""
        messages = chat_messages(self.settings.demonstrations, self.settings.prompt, problem.question)
        body = {"model": self.name, "messages": messages, **self.request_params}
        return body | ({"n": draws} if draws > 1 else {})

    def adapt_params(self, error: Any, sent_params: dict[str, Any]) -> bool:
        """Adapt the parameters to an error about one of them: use its newer name, or omit a default value.

        Args:
            error: The error, with `param` and `code`.
            sent_params: The parameters of the failed request; other requests may have been adapted meanwhile.

        Returns:
            Whether the request should be sent again.

        Raises:
            NsadError: The model does not support the parameter's value.
        """
        name = error.param
        if name not in sent_params:
            return False
        if error.code == "unsupported_value":
            raise NsadError(
                f"the model `{self.name}` does not support this {name}",
                self.scrub(error),
                f"set teacher.{name} to a value that it supports, usually 1",
            ) from None
        if error.code != "unsupported_parameter":
            return False
        if name == "max_tokens":
            if "max_tokens" in self.request_params:  # otherwise another request's error has renamed it meanwhile
                self.request_params["max_completion_tokens"] = self.request_params.pop("max_tokens")
            return True
        if name == "top_p" and self.settings.top_p == 1:
            self.request_params.pop("top_p", None)
            return True
        return False

    def note_usage(self, reply: Any) -> None:
        """Show, once, a usage that cannot be right; such a reply counts as one that states none."""
        if not self._usage_noted and (found := implausible_usage(reply)):
            self._usage_noted = True
            note(f"`{self.name}` states an impossible usage ({found}): such replies count at their maximum cost")

    def scrub(self, error: BaseException | str) -> str:
        """Return the error's text in one line, without the API key."""
        return redact_key(error if isinstance(error, BaseException) else Exception(error), self.key)
