"""Engines that sample a student's chains: local transformers or vLLM, remote servers, or actors of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from nsad_cli.errors import UsageError

ENGINE_HELP = "hf (transformers), vllm, server[:MODEL]@URL[,URL], or ray[:hf|:vllm][@ADDRESS]"
LOCAL = ("hf", "vllm")
"""The engines that compute chains themselves; an actor of Ray holds one of them."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A parsed spec."""

    kind: str = "hf"
    """What computes the chains: hf, vllm or server."""
    served: str = ""
    """The model's name on the servers; empty for the name that the run uses."""
    urls: tuple[str, ...] = ()
    by_ray: bool = False
    """Whether actors of a Ray cluster hold the engine."""
    address: str = ""
    """The address of the Ray cluster; empty for one that is started on this machine."""

    @property
    def name(self) -> str:
        """The kind, or server:MODEL, without addresses."""
        return ":".join(filter(None, (self.kind, self.served)))

    @property
    def spec(self) -> str:
        """The spec that parse_engine accepts, with a placeholder for unknown URLs."""
        if self.by_ray:
            return "@".join(filter(None, ("ray" if self.kind == LOCAL[0] else f"ray:{self.kind}", self.address)))
        return self.name if self.kind != "server" else f"{self.name}@{','.join(self.urls) or 'URL'}"

    def key(self, model_key: str) -> str:
        """Return the model's key with this engine; engines agree only on greedy chains, so each has its own cache.

        Ray is no part of it: a chain is that of the engine that its actors hold.
        """
        return model_key if self.kind == "hf" else "@".join(filter(None, (model_key, self.kind, self.served)))


def parse_engine(spec: str, *, reached: bool = True) -> EngineSpec:
    """Parse a spec, see ENGINE_HELP; a server needs a URL only if `reached`.

    Raises:
        UsageError: The spec is invalid.
    """
    head, at, urls = spec.partition("@")
    kind, _, served = head.partition(":")
    if kind == "server" and not urls and not reached:
        return EngineSpec(kind, served)
    if kind == "server" and urls and all(url.startswith(("http://", "https://")) for url in urls.split(",")):
        return EngineSpec(kind, served, tuple(urls.split(",")))
    if spec in LOCAL:
        return EngineSpec(spec)
    if head in ("ray", *(f"ray:{inner}" for inner in LOCAL)) and bool(at) == bool(urls) and "://" not in urls:
        return EngineSpec(served or LOCAL[0], by_ray=True, address=urls)
    raise UsageError(f"unknown engine `{spec}`", _reason(kind), f"engines: {ENGINE_HELP}")


def _reason(kind: str) -> str:
    if kind == "server":
        return "a server needs its URL, as http(s)://HOST[:PORT]/v1"
    if kind == "ray":
        return f"actors hold {' or '.join(LOCAL)}, and an address is HOST:PORT or auto: Ray's client does not stream"
    return "no engine of this name exists"
