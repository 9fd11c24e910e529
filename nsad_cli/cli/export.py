"""`nsad export`: write the NCE student as a transformers or PEFT folder, or a model of the run for vLLM."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Device, RunName
from nsad_cli.utils.logs import note


class Server(StrEnum):
    """The servers that a folder can be written for."""

    VLLM = "vllm"


def export(
    folder: Annotated[Path, typer.Argument(help="The folder to create; it must be new or empty.")],
    lora: Annotated[bool, typer.Option("--lora", help="Write only the LoRA, as a PEFT folder, not merged.")] = False,
    server: Annotated[
        Server | None,
        typer.Option("--for", help="vllm: a folder that `vllm serve` loads (a NAT model through nsad's plugin)."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="With --for: nce, nat or a baseline's name. Default: nce, or nat if the run has no NCE student.",
            autocompletion=completions.model_names,
        ),
    ] = None,
    run_name: RunName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's student as a folder that transformers loads, or its LoRA as a folder that PEFT loads."""
    from nsad_cli.config.stages import NAT, STUDENT, UNTRAINED, models
    from nsad_cli.errors import UsageError, did_you_mean
    from nsad_cli.runs.models import has_model, require_model
    from nsad_cli.runs.run import Run
    from nsad_cli.utils.devices import select_gpu
    from nsad_cli.utils.files import require_new

    if server is None and model is not None:
        raise UsageError("--model needs --for", "without --for, the NCE student is exported", "add --for vllm")
    if server is not None and lora:
        raise UsageError("--lora and --for exclude each other", "each selects what to write", "give only one of them")
    trained = [name for name in models() if name not in UNTRAINED]
    if model is not None and model not in trained:
        fix = f"{did_you_mean(model, trained)} models: {', '.join(trained)}".strip()
        raise UsageError(f"cannot export a model `{model}`", "a run trains no such model", fix)
    run = Run.open(run_name, finished=True)
    note(f"run: {run.name}")
    if model is None:
        model = NAT.name if server is not None and not has_model(run, STUDENT.name) else STUDENT.name
    require_model(run, model)  # before torch is imported
    require_new(folder.expanduser().resolve())
    recipe = run.recipe_with({"student.device": device})
    select_gpu(recipe.student.device)
    from nsad_cli.inference.export import NOTES, export_for_vllm, export_lora, export_merged
    from nsad_cli.inference.session import Session

    session = Session(run, recipe)
    if server is not None:
        notes = export_for_vllm(session, folder, model)
    else:
        notes = (export_lora if lora else export_merged)(session, folder)
    path = folder.expanduser().resolve()
    if as_json:
        print_json({"folder": str(path), **notes})
        return
    if server is not None:
        note(f"{notes['model']} of run {run.name} → {path}; the prompt format is in {NOTES}")
        note(f"serve it: {notes['serve']}")
        return
    form = "LoRA" if lora else "merged"
    note(f"{model} of run {run.name} ({form}) → {path}; the prompt format is in {NOTES}")
    if lora:
        note(f'load it: PeftModel.from_pretrained(base, "{path}"), with base = {notes["student"]}')
    else:
        note(f'load it: AutoModelForCausalLM.from_pretrained("{path}"), or nsad … --student {path}')
