"""The `nsad` program: its commands, and the reporting of every error."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from nsad_cli.cli.commands import Commands
from nsad_cli.cli.console import print_error, set_up_logging
from nsad_cli.errors import NsadError
from nsad_cli.runs.command import resume_hint, set_command
from nsad_cli.utils.terminal_text import escape_controls
from nsad_cli.utils.version import __version__

app = typer.Typer(
    name="nsad",
    cls=Commands,
    help="Teach a small model to reason from a large one's right and wrong answers.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# click.UsageError; newer versions of typer vendor click, so it is found through a subclass that typer exports.
ClickUsageError: type[Exception] = typer.BadParameter.__bases__[0]


INTERRUPTED = 130
"""The exit code after Ctrl-C or SIGTERM."""


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


def main() -> NoReturn:
    """Run the program and exit: 0 success, 1 failure, 2 invalid usage, 130 interrupted."""
    if sys.stderr is None:  # closed by the parent process
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        print_error("standard output is closed", "results have nowhere to go", "leave it open, or add >/dev/null")
        sys.exit(2)
    arguments = sys.argv[1:]
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    debug = "--debug" in arguments
    set_command(arguments)
    set_up_logging()
    # Busy-waiting OpenMP threads slow down many times if another process uses the cores, and gain nothing otherwise.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers send SIGTERM: handled like Ctrl-C
    try:
        # --debug is accepted anywhere, so that it can be appended to a command that failed.
        ended = app([item for item in arguments if item != "--debug"], prog_name="nsad", standalone_mode=False)
        code = ended if isinstance(ended, int) else 0
        if code == INTERRUPTED:  # typer turns the interrupt into this code
            raise KeyboardInterrupt
        sys.stdout.flush()
    except NsadError as error:
        code = _report(debug, error.what, error.why, error.fix, error.exit_code)
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _report(False, "interrupted", "Ctrl-C or SIGTERM", resume_hint(), INTERRUPTED)
        # Python marks an interrupt that passes through exec() of a string, as an import may run one, as unhandled; then
        # `python -m` ends by SIGINT instead of with the exit code. The next exec() of a string clears the mark.
        exec("")
    except ClickUsageError as error:
        code = _report_usage(debug, error)
    except BrokenPipeError:
        _discard_output()
        code = 1
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        code = _report(
            debug,
            "an unexpected error",
            f"{type(error).__name__}: {text}",
            f"run it again with --debug for the traceback; finished work is kept; {resume_hint()}",
            1,
        )
    try:
        sys.stdout.flush()
    except OSError:  # already reported
        _discard_output()
    sys.exit(code)


def _discard_output() -> None:
    """Redirect stdout to /dev/null, so that flushing at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _report_usage(debug: bool, error: Any) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nsad"
    why = error.format_message().rstrip(".")
    if not why:  # no command is given: its help has been printed
        return 2
    if context is not None and context.info_name == "solve" and "unexpected extra argument" in why:
        words = " ".join(item for item in sys.argv[2:] if not item.startswith("-"))
        return _report(debug, "the problem is several words without quotes", why, f'nsad solve "{words}"', 2)
    return _report(debug, f"invalid usage of `{command}`", why, f"`{command} --help`", 2)


def _report(debug: bool, what: str, why: str, fix: str, code: int) -> int:
    """Print an error, with --debug after its traceback, and return the exit code."""
    if debug:
        print(escape_controls(traceback.format_exc()), file=sys.stderr)
    print_error(what, why, fix)
    return code
