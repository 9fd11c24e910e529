"""The report of `nsad stats --overlap`: overlap between training problems and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import out, print_json
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run

SHOWN = 3
"""The number of pairs printed for each benchmark; --json has all of them."""
WIDTH = 110


def show_overlap(run: Run, specs: Sequence[str], as_json: bool) -> None:
    """Compare a run's training problems with benchmarks; print counts by test with examples, or one JSON object.

    Raises:
        UsageError: The run has no training problems, or a spec is invalid.
        NsadError: A benchmark cannot be read.
    """
    from nsad_cli.errors import UsageError
    from nsad_cli.problems import load_problems, parse_spec
    from nsad_cli.problems.ngram_overlap import TESTS, find_overlaps
    from nsad_cli.runs.records import collected_problems

    labels = [parse_spec(spec).label for spec in specs]
    training = collected_problems(run)
    if not training:
        raise UsageError(
            f"run `{run.name}` has no training problems",
            "its stage `collect` is not finished",
            f"run `nsad collect --run {run.name}` first",
        )
    rows: list[dict[str, Any]] = []
    for spec, label in zip(specs, labels, strict=True):
        problems = load_problems(spec)
        pairs = [
            {
                "id": item.problem.id,
                "tests": [test for test in TESTS if test in item.tests],
                "training": item.problem.question,
                "evaluation": item.other.question,
            }
            for item in find_overlaps(training, problems)
        ]
        row: dict[str, Any] = {"benchmark": label, "problems": len(problems), "overlaps": len(pairs)}
        row |= {test: sum(test in pair["tests"] for pair in pairs) for test in TESTS}
        rows.append({**row, "pairs": pairs})
    if as_json:
        print_json({"run": run.name, "training": len(training), "overlap": rows})
    else:
        _print(len(training), rows)


def _print(training: int, rows: Sequence[dict[str, Any]]) -> None:
    from nsad_cli.cli.render.tables import new_table
    from nsad_cli.problems.ngram_overlap import WORDS

    table = new_table(
        f"Overlap of {training} training problems with benchmarks",
        *("benchmark", "problems", "overlaps", "same", "words", "numbers"),
    )
    for row in rows:
        table.add_row(*(str(value) for name, value in row.items() if name != "pairs"))
    console = out()
    console.print(table)
    console.print("same: identical question. words:", WORDS, "consecutive words in common. numbers: identical")
    console.print("except for numbers. A problem can count in several columns. Training excludes")
    console.print("overlaps with its own recipe's benchmarks, unless training.keep_overlap is true.")
    for row in rows:
        for pair in row["pairs"][:SHOWN]:
            console.print(f"\n{row['benchmark']}, by {' and '.join(pair['tests'])}:", markup=False)
            console.print(f"  training:   {_short(pair['training'])}", markup=False)
            console.print(f"  evaluation: {_short(pair['evaluation'])}", markup=False)
        if len(row["pairs"]) > SHOWN:
            console.print(f"\n{row['benchmark']}: {len(row['pairs']) - SHOWN} more; --json prints all")


def _short(question: str) -> str:
    text = escape_controls(" ".join(question.split()))
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
