"""Engines that sample a student's chains: local transformers or vLLM, or remote servers."""

from __future__ import annotations

from dataclasses import dataclass

from nsad_cli.errors import UsageError

ENGINE_HELP = "hf (transformers), vllm, or server[:MODEL]@URL[,URL]"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A parsed spec."""

    kind: str = "hf"
    served: str = ""
    """The model's name on the servers; empty for the name that the run uses."""
    urls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """KIND, or server:MODEL, without URLs."""
        return ":".join(filter(None, (self.kind, self.served)))

    @property
    def spec(self) -> str:
        """The spec that parse_engine accepts, with a placeholder for unknown URLs."""
        return self.name if self.kind != "server" else f"{self.name}@{','.join(self.urls) or 'URL'}"

    def key(self, model_key: str) -> str:
        """Return the model's key with this engine; engines agree only on greedy chains, so each has its own cache."""
        return model_key if self.kind == "hf" else "@".join(filter(None, (model_key, self.kind, self.served)))


def parse_engine(spec: str, *, reached: bool = True) -> EngineSpec:
    """Parse `hf`, `vllm` or `server[:MODEL]@URL[,URL]`; a server needs a URL only if `reached`.

    Raises:
        UsageError: The spec is invalid.
    """
    head, _, urls = spec.partition("@")
    kind, _, served = head.partition(":")
    if kind == "server" and not urls and not reached:
        return EngineSpec(kind, served)
    if kind == "server" and urls and all(url.startswith(("http://", "https://")) for url in urls.split(",")):
        return EngineSpec(kind, served, tuple(urls.split(",")))
    if spec in ("hf", "vllm"):
        return EngineSpec(spec)
    raise UsageError(
        f"unknown engine `{spec}`",
        "a server needs its URL, as http(s)://HOST[:PORT]/v1" if kind == "server" else "no engine of this name exists",
        f"engines: {ENGINE_HELP}",
    )
