"""`nsad export`: the NCE student for use without nsad, or a model of the run as vLLM serves it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Device, RunName
from nsad_cli.utils.logs import note


class Server(StrEnum):
    """What a folder may be for."""

    VLLM = "vllm"


def export(
    folder: Annotated[Path, typer.Argument(help="The folder to make; it must not hold anything yet.")],
    lora: Annotated[bool, typer.Option("--lora", help="The LoRA alone, as a PEFT folder, not merged.")] = False,
    server: Annotated[
        Server | None, typer.Option("--for", help="vllm: as `vllm serve` loads it, by nsad's plugin where it is NAT.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="With --for: nat (if unset), nce, or a baseline's name.")
    ] = None,
    run_name: RunName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's student as a model folder that transformers loads anywhere, or its LoRA as one for PEFT."""
    from nsad_cli.config.stages import NAT, UNTRAINED, models
    from nsad_cli.errors import UsageError
    from nsad_cli.runs.run import Run

    if server is None and model is not None:
        raise UsageError("--model goes with --for", "without it, the NCE student is exported", "add --for vllm")
    if server is not None and lora:
        raise UsageError("--lora and --for exclude each other", "both say what to write", "give one of them")
    trained = [name for name in models() if name not in UNTRAINED]
    if model is not None and model not in trained:
        raise UsageError(
            f"no model `{model}` to export", "it is not one that a run trains", f"models: {', '.join(trained)}"
        )
    run = Run.open(run_name, finished=True)
    note(f"run: {run.name}")
    from nsad_cli.inference.export import NOTES, export_for_vllm, export_lora, export_merged
    from nsad_cli.inference.session import Session

    session = Session(run, run.recipe_with({"student.device": device}))
    if server is not None:
        notes = export_for_vllm(session, folder, model or NAT.name)
    else:
        notes = (export_lora if lora else export_merged)(session, folder)
    path = folder.expanduser().resolve()
    if as_json:
        print_json({"folder": str(path), **notes})
        return
    if server is not None:
        note(f"{notes['model']} of run {run.name} → {path}; its prompt stands in {NOTES}")
        note(f"serve it: {notes['serve']}")
        return
    note(f"the {'LoRA' if lora else 'merged student'} of run {run.name} → {path}; its prompt stands in {NOTES}")
    if lora:
        note(f'load it: PeftModel.from_pretrained(base, "{path}"), with base = {notes["student"]}')
    else:
        note(f'load it: AutoModelForCausalLM.from_pretrained("{path}"), or nsad … --student {path}')
