"""What samples a student's chains: transformers or vLLM on this machine, or servers elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from nsad_cli.errors import UsageError

HOW = "hf (transformers), vllm, or server[:MODEL]@URL[,URL]"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A parsed spec."""

    kind: str = "hf"
    served: str = ""
    """What the servers call the model; empty: what the run calls it."""
    urls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """KIND, or server:MODEL, without what it is reached by."""
        return ":".join(filter(None, (self.kind, self.served)))

    @property
    def spec(self) -> str:
        """What parse_engine reads, with URL where a server's is not known."""
        return self.name if self.kind != "server" else f"{self.name}@{','.join(self.urls) or 'URL'}"

    def key(self, model_key: str) -> str:
        """A model's key with this engine: they agree on greedy chains alone, so each keeps its own."""
        return model_key if self.kind == "hf" else "@".join(filter(None, (model_key, self.kind, self.served)))


def parse_engine(spec: str, *, reached: bool = True) -> EngineSpec:
    """Parse `hf`, `vllm` or `server[:MODEL]@URL[,URL]`; where it is not to be `reached`, a server needs no URL.

    Raises UsageError for anything else.
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
        "a server needs its URL, as http(s)://HOST[:PORT]/v1" if kind == "server" else "chains are sampled by another",
        f"engines: {HOW}",
    )
