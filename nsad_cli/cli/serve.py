"""`nsad serve`: an OpenAI-compatible server that answers by the votes of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from nsad_cli.cli.options import Device, EngineName, RunName, StopAt, VoteRule
from nsad_cli.utils.logs import note

LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    run_name: RunName = None,
    rule: VoteRule = None,
    samples: Annotated[int | None, typer.Option("--samples", "-n", min=1, help="Chains per request.")] = None,
    stop_at: StopAt = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains sampled at once.")] = 4,
    engine: EngineName = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any free one.")] = 8080,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            envvar="NSAD_SERVE_API_KEY",
            show_envvar=True,
            help="Key that clients must send; the variable is safer than the option, which other users can see.",
        ),
    ] = None,
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, help="Requests in flight; more are refused with status 429.")
    ] = 256,
    max_prompt_tokens: Annotated[
        int,
        typer.Option("--max-prompt-tokens", min=1, help="Longest prompt: it takes memory in every row of the batch."),
    ] = 2048,
    device: Device = None,
) -> None:
    """Serve a run's votes through an OpenAI-compatible API: chat and text completions, models, health, metrics."""
    from nsad_cli.cli.solve import check_engine, check_rule, vote_settings
    from nsad_cli.errors import UsageError
    from nsad_cli.runs.run import Run
    from nsad_cli.serving.server import ServerSettings, serve_run

    if api_key is not None and not api_key.strip():
        raise UsageError("the API key is empty", "it would be no key at all", "set one, or unset NSAD_SERVE_API_KEY")
    check_rule(rule)
    check_engine(engine)
    run = Run.open(run_name, finished=True)
    votes = vote_settings(run, samples, rule, stop_at, wave)
    if host not in LOCAL and not api_key:
        note(f"warning: anyone who reaches {host}:{port} can use the model; set NSAD_SERVE_API_KEY to require a key")
    key = None if api_key is None else api_key.strip()
    settings = ServerSettings(host, port, key, max_requests, max_prompt_tokens, device, engine)
    serve_run(run, votes, settings, lambda url: note(f"serving {run.name} at {url} (Ctrl-C ends it)"))
