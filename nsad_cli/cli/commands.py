"""The table of commands, and the group that imports a command's module only when the command is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from nsad_cli.cli.examples import print_examples

if TYPE_CHECKING:
    from collections.abc import Iterator

START = "Start here"
STAGES = "Stages"
RESULTS = "Results"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `nsad`: where it is, and what the front page says about it."""

    panel: str
    target: str
    """MODULE:NAME in nsad_cli.cli: a function, or the typer app of a group."""
    summary: str
    """The first paragraph of its help; a test compares them."""


COMMANDS = {
    "demo": Command(
        START,
        "demo:demo",
        "Run the whole method offline with SmolLM2-135M: about 20 minutes on two cores with AMX; resumable.",
    ),
    "run": Command(START, "run:run", "Run a recipe from problems to report; run the same command again to resume."),
    "init": Command(
        START, "init:init", "Write a commented recipe: asks for teacher, problems and student, or takes flags."
    ),
    "doctor": Command(
        START,
        "doctor:doctor",
        "Check libraries, device, student, disk, keys and Hub; exit 1 if something required is missing.",
    ),
    "collect": Command(
        STAGES, "collect:collect", "Sample rationales from a teacher; stored samples are never requested again."
    ),
    "grade": Command(
        STAGES,
        "grade:grade",
        "Sort rationales into right (D+), wrong (D−) and neither; no request is sent to the teacher.",
    ),
    "train-nat": Command(
        STAGES,
        "train:train_nat",
        "Train the negative adapter on D−, then NAT (positive adapter and integration unit) on D+.",
    ),
    "train-nce": Command(
        STAGES, "train:train_nce", "Train the student, an ordinary LoRA, with NAT as its calibrated teacher."
    ),
    "train-ranker": Command(
        STAGES,
        "train:train_ranker",
        "Fit or train the ranker on chains that the student samples, measure it, and fit the weights of votes.",
    ),
    "train-baseline": Command(
        STAGES,
        "train:train_baseline",
        "Train baselines on the same rationales as NAT and NCE, with NAT's settings or the given ones.",
    ),
    "solve": Command(
        RESULTS,
        "solve:solve",
        "Answer a problem by a vote of several chains of the student, weighted by the ranker. "
        "The run keeps the chains.",
    ),
    "serve": Command(
        RESULTS,
        "serve:serve",
        "Serve a run's votes through an OpenAI-compatible API: chat and text completions, models, health, metrics.",
    ),
    "vote": Command(
        RESULTS,
        "vote:vote",
        "Count votes over recorded chains; with --run list a run's problems by their votes, or explain one.",
    ),
    "eval": Command(
        RESULTS,
        "evaluate:evaluate",
        "Measure a run's models on benchmarks: greedy answers, and votes under every rule from one sampling pass.",
    ),
    "compare": Command(
        RESULTS,
        "compare:compare",
        "Compare models of one run or several by their stored answers: accuracy, overlap, paired tests, seeds.",
    ),
    "study": Command(
        RESULTS,
        "study:study",
        "Compare models over several seeds with equal budgets; run the same command again to resume.",
    ),
    "report": Command(
        RESULTS,
        "report:report",
        "Write one self-contained page: settings, data, curves, accuracies with intervals, example votes, commands.",
    ),
    "export": Command(
        RESULTS,
        "export:export",
        "Write a run's student as a folder that transformers loads, or its LoRA as a folder that PEFT loads.",
    ),
    "dashboard": Command(
        RESULTS,
        "dashboard:dashboard",
        "Follow runs live and inspect their votes and data; nothing is changed except labels that you set in a review.",
    ),
    "stats": Command(
        RESULTS,
        "stats:stats",
        "Count a run's rationales by verdict and subject, its chains and its stages; or find overlap with benchmarks.",
    ),
    "data": Command(RESULTS, "data:app", "Export rationales to files that TRL reads, and import them."),
    "recipe": Command(RESULTS, "recipe:app", "Show, check or compare recipes, or print their JSON Schema."),
    "config": Command(
        RESULTS, "config:app", "Show where each setting comes from: defaults, your file, variables, a recipe."
    ),
    "runs": Command(
        RESULTS,
        "runs:app",
        "List, show, rename, remove or annotate runs, or choose the default run of the other commands.",
    ),
}


class LoadedCommands(Mapping[str, Any]):
    """Commands by name as typer's command objects; a module is imported when its command is looked up."""

    def __getitem__(self, name: str) -> Any:
        """Import and build a command."""
        module, _, target = COMMANDS[name].target.partition(":")
        found = getattr(importlib.import_module(f"nsad_cli.cli.{module}"), target)
        if not isinstance(found, typer.Typer):
            from nsad_cli.cli.options import with_log_options

            single = typer.Typer(add_completion=False, rich_markup_mode="rich")
            single.command(name)(with_log_options(found))
            found = single
        command: Any = typer.main.get_command(found)
        print_help = command.format_help

        def format_help(ctx: Any, formatter: Any) -> None:
            print_help(ctx, formatter)
            print_examples(name)

        command.format_help = format_help
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """The group `nsad`: lazy commands, and a front page that neither imports them nor rich."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LoadedCommands()  # type: ignore[assignment]  # only read

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the front page; like typer's own pages it is not written to the formatter."""
        from nsad_cli.cli.render.front_page import front_page

        # click gives the names of --help as a set, whose order changes from one process to the next
        options = [
            (", ".join(sorted(option.opts, key=len, reverse=True)), getattr(option, "help", None) or "")
            for option in self.get_params(ctx)
        ]
        panels = {"Options": options}
        for name, command in COMMANDS.items():
            panels.setdefault(command.panel, []).append((name, command.summary))
        page = front_page(" ".join(self.collect_usage_pieces(ctx)), self.help or "", panels)
        encoding = sys.stdout.encoding or "utf-8"
        print(page.encode(encoding, "replace").decode(encoding))
