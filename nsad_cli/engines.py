"""What samples a student's chains: transformers or vLLM on this machine, or servers elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from nsad_cli.errors import UsageError

HOW = "hf (transformers), vllm, or server[:MODEL]@URL[,URL]"


@dataclass(frozen=True, slots=True)
class Engine:
    """A parsed spec."""

    kind: str = "hf"
    served: str = ""
    """What the servers call the model; empty: what the run calls it."""
    urls: tuple[str, ...] = ()

    def key(self, model_key: str) -> str:
        """A model's key with this engine: they agree on greedy chains alone, so each keeps its own."""
        return model_key if self.kind == "hf" else "@".join(filter(None, (model_key, self.kind, self.served)))


def parse_engine(spec: str) -> Engine:
    """Parse `hf`, `vllm` or `server[:MODEL]@URL[,URL]`.

    Raises UsageError for anything else.
    """
    head, _, urls = spec.partition("@")
    kind, _, served = head.partition(":")
    if kind == "server" and urls and all(url.startswith(("http://", "https://")) for url in urls.split(",")):
        return Engine(kind, served, tuple(urls.split(",")))
    if spec in ("hf", "vllm"):
        return Engine(spec)
    raise UsageError(
        f"unknown engine `{spec}`",
        "a server needs its URL, as http(s)://HOST[:PORT]/v1" if kind == "server" else "chains are sampled by another",
        f"engines: {HOW}",
    )
