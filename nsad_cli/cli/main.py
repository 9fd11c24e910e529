"""The `nsad` program: its commands, and how every failure is told."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from nsad_cli.cli import (
    collect,
    dashboard,
    data,
    demo,
    doctor,
    evaluate,
    export,
    grade,
    run,
    runs,
    solve,
    stats,
    train,
    vote,
)
from nsad_cli.cli.console import print_error, set_up_logging
from nsad_cli.cli.options import with_log_options
from nsad_cli.errors import NsadError
from nsad_cli.utils.version import __version__

app = typer.Typer(
    name="nsad",
    help="Teach a small model to reason from a large one's right and wrong answers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


# typer brings click's classes under names of its own since 0.2x; this holds for both.
UsageProblem: type[Exception] = typer.BadParameter.__bases__[0]


INTERRUPTED = 130


def _version(value: bool) -> None:
    if value:
        print(f"nsad {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Teach a small model to reason from a large one's right and wrong answers."""


START = "Start here"
STAGES = "Stages"
RESULTS = "Results"
app.command("demo", rich_help_panel=START)(with_log_options(demo.demo))
app.command("run", rich_help_panel=START)(with_log_options(run.run))
app.command("doctor", rich_help_panel=START)(with_log_options(doctor.doctor))
app.command("collect", rich_help_panel=STAGES)(with_log_options(collect.collect))
app.command("grade", rich_help_panel=STAGES)(with_log_options(grade.grade))
app.command("train-nat", rich_help_panel=STAGES)(with_log_options(train.train_nat))
app.command("train-nce", rich_help_panel=STAGES)(with_log_options(train.train_nce))
app.command("train-ranker", rich_help_panel=STAGES)(with_log_options(train.train_ranker))
app.command("train-baseline", rich_help_panel=STAGES)(with_log_options(train.train_baseline))
app.command("solve", rich_help_panel=RESULTS)(with_log_options(solve.solve))
app.command("vote", rich_help_panel=RESULTS)(with_log_options(vote.vote))
app.command("eval", rich_help_panel=RESULTS)(with_log_options(evaluate.evaluate))
app.command("export", rich_help_panel=RESULTS)(with_log_options(export.export))
app.command("dashboard", rich_help_panel=RESULTS)(with_log_options(dashboard.dashboard))
app.command("stats", rich_help_panel=RESULTS)(with_log_options(stats.stats))
app.add_typer(data.app, name="data", rich_help_panel=RESULTS)
app.add_typer(runs.app, name="runs", rich_help_panel=RESULTS)


def main() -> NoReturn:
    """Run the program; exit 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    if sys.stderr is None:  # closed by whoever started it: nobody listens
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        print_error("standard output is closed", "results have nowhere to go", "leave it open, or add >/dev/null")
        sys.exit(2)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    set_up_logging()
    # Beside another busy process, torch's threads that spin while they wait run many times slower, alone no faster.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's notice is an interrupt like Ctrl-C
    try:
        # --debug is welcome anywhere, so that it can be added to the end of a command that failed.
        ended = app([item for item in arguments if item != "--debug"], prog_name="nsad", standalone_mode=False)
        code = ended if isinstance(ended, int) else 0
        if code == INTERRUPTED:  # typer turns the interrupt into this code
            raise KeyboardInterrupt
        sys.stdout.flush()
    except NsadError as error:
        code = _tell(debug, error.what, error.why, error.fix, error.exit_code)
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _tell(False, "interrupted", "Ctrl-C, or a signal", "run the same command again: it resumes", INTERRUPTED)
    except UsageProblem as error:
        code = _tell_usage(debug, error)
    except BrokenPipeError:
        _drop_output()
        code = 1
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        code = _tell(
            debug,
            "an unexpected failure",
            f"{type(error).__name__}: {text}",
            "run it again with --debug for the traceback; what was finished is kept",
            1,
        )
    try:
        sys.stdout.flush()
    except OSError:  # it has been told
        _drop_output()
    sys.exit(code)


def _drop_output() -> None:
    """What is left to print goes nowhere, so that it fails no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _tell_usage(debug: bool, error: Any) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nsad"
    return _tell(debug, f"`{command}` cannot be used so", error.format_message().rstrip("."), f"`{command} --help`", 2)


def _tell(debug: bool, what: str, why: str, fix: str, code: int) -> int:
    if debug:
        traceback.print_exc()
    print_error(what, why, fix)
    return code
