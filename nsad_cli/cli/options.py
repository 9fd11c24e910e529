"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import set_up_logging
from nsad_cli.config.choices import DTYPES, require_choice, require_device
from nsad_cli.config.engine_spec import ENGINE_HELP


def one_of(option: str, known: Callable[[], Sequence[str]]) -> Callable[[str | None], str | None]:
    """Make the callback of an option that takes one of some names: others are reported before the command starts."""

    def check(value: str | None) -> str | None:
        if value is not None:
            require_choice(value, known(), option)
        return value

    return check


def _checked_device(value: str | None) -> str | None:
    if value is not None:
        require_device(value, "--device")
    return value


RunName = Annotated[
    str | None,
    typer.Option(
        "--run",
        envvar="NSAD_RUN",
        help="The run's name. Default: the one set by `nsad runs use`, or the newest.",
        autocompletion=completions.run_names,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Run again even if already finished with these settings.")]
StudentModel = Annotated[
    str | None, typer.Option("--student", envvar="NSAD_STUDENT", help="smollm2, a folder, or a Hub id[@REVISION].")
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        envvar="NSAD_DEVICE",
        callback=_checked_device,
        help="auto, cpu, mps, cuda or cuda:N (one GPU).",
        autocompletion=completions.devices,
    ),
]


def _engine_option(about: str) -> Any:
    return typer.Option("--engine", help=f"{about}: {ENGINE_HELP}.", autocompletion=completions.engines)


EngineName = Annotated[str | None, _engine_option("The engine that samples chains, by default the run's")]
RunEngine = Annotated[
    str | None, _engine_option("The engine of all chains, for the recipe's sampling.engine and evaluation.engine")
]
SamplingEngine = Annotated[
    str | None,
    _engine_option("The engine of the chains that training needs, in place of the recipe's sampling.engine"),
]
RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A YAML file, or the name of a shipped recipe.",
        autocompletion=completions.recipe_names,
    ),
]


RULES_HELP = (
    "How chains vote. sc: one vote each; wsc: weighted by mean token probability; asc: by the ranker's score;"
    " asc-add: by 1 + score; asc-add2: by 1 + 2 × score; best: the chain with the highest score decides alone."
)
"""The help text of --rule; see nsad_cli.voting.rules."""
VoteRule = Annotated[
    str | None,
    typer.Option("--rule", help=f"{RULES_HELP} Default: the run's (asc).", autocompletion=completions.rules),
]
StopAt = Annotated[
    float | None,
    typer.Option(
        "--stop-at",
        min=0.5,
        max=1.0,
        help="Stop sampling once the leading answer is this likely to stay ahead of all others, e.g. 0.95.",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        envvar="NSAD_DTYPE",
        callback=one_of("--dtype", lambda: DTYPES),
        help="auto, float32, bfloat16 or float16.",
        autocompletion=completions.dtypes,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any recipe key, e.g. --set training.nce.lam=0.3; repeatable.",
        autocompletion=completions.settings,
    ),
]
ProblemSpecs = Annotated[
    list[str] | None,
    typer.Option(
        "--problems",
        metavar="NAME[:SPLIT][@PATH]",
        help="math, gsm8k, asdiv, multiarith, svamp, jsonl or arithmetic[:WORLD]; repeatable.",
        autocompletion=completions.problem_sets,
    ),
]


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no notes and no progress; results still go to stdout.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Log more: -v details, -vv debug messages too."
    ),
]


def with_log_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet and --verbose to a command; the value is also passed on if the command has a parameter `verbose`."""
    signature = inspect.signature(command)
    own = "verbose" in signature.parameters
    hints = typing.get_type_hints(command, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    added = [inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)]
    if not own:
        added.append(inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose))

    @functools.wraps(command)
    def run(*arguments: Any, quiet: bool = False, **named: Any) -> None:
        verbose = named["verbose"] if own else named.pop("verbose", 0)
        set_up_logging(quiet=quiet, verbose=verbose)
        command(*arguments, **named)

    run.__signature__ = signature.replace(parameters=[*parameters, *added])  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {item.name: item.annotation for item in (*parameters, *added)}
    return run


def recipe_overrides(
    student: str | None, device: str | None, dtype: str | None, engine: str | None, settings: list[str] | None
) -> dict[str, Any]:
    """Return the values that the options of a whole run replace in its recipe, by dotted key; None values are skipped.

    `--engine` replaces the engines of training and of evaluation; `--set` has the last word.
    """
    return {
        "student.model": student,
        "student.device": device,
        "student.dtype": dtype,
        "sampling.engine": engine,
        "evaluation.engine": engine,
        **parse_settings(settings),
    }


def parse_settings(items: list[str] | None) -> dict[str, Any]:
    """Parse KEY=VALUE pairs; each value is parsed as YAML.

    Raises:
        UsageError: An item has no `=` or no key, or its value is not valid YAML.
    """
    import yaml

    from nsad_cli.errors import UsageError

    values: dict[str, Any] = {}
    for item in items or []:
        key, mark, value = item.partition("=")
        if not mark or not key:
            raise UsageError(
                f"invalid value `{item}` of --set", "it is not KEY=VALUE", "write e.g. --set training.nce.lam=0.3"
            )
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(
                f"invalid value `{item}` of --set", "the value is not valid YAML", "quote it, e.g. --set 'name=\"x\"'"
            ) from error
    return values
