"""`nsad export`: the NCE student for use without nsad."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.options import AsJson, Device, RunName
from nsad_cli.cli.output import print_json, say


def export(
    folder: Annotated[Path, typer.Argument(help="The folder to make; it must not hold anything yet.")],
    lora: Annotated[bool, typer.Option("--lora", help="The LoRA alone, as a PEFT folder, not merged.")] = False,
    run_name: RunName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's student as a model folder that transformers loads anywhere, or its LoRA as one for PEFT."""
    from nsad_cli.recipes import load_recipe
    from nsad_cli.runs import Run

    run = Run.open(run_name, finished=True)
    say(f"run: {run.name}")
    from nsad_cli.export import NOTES, export_lora, export_merged
    from nsad_cli.session import Session

    session = Session(run, load_recipe(run.path / "recipe.yaml", {"student.device": device}), say)
    notes = (export_lora if lora else export_merged)(session, folder)
    path = folder.expanduser().resolve()
    if as_json:
        print_json({"folder": str(path), **notes})
        return
    say(f"the {'LoRA' if lora else 'merged student'} of run {run.name} → {path}; its prompt stands in {NOTES}")
    if lora:
        say(f'load it: PeftModel.from_pretrained(base, "{path}"), with base = {notes["student"]}')
    else:
        say(f'load it: AutoModelForCausalLM.from_pretrained("{path}"), or nsad … --student {path}')
