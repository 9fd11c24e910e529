"""`nsad grade`: a verdict for every rationale, their counts, and estimates from reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, Force, RunName
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.grading.review_statistics import ReviewSummary

ByHand = Annotated[bool, typer.Option("--review", help="Review disputed rationales yourself, one key each.")]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="With --review: also N random samples of D−, to estimate the right ones.",
    ),
]


def grade(
    run_name: RunName = None,
    by_hand: ByHand = False,
    sample: Sample = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Sort rationales into right (D+), wrong (D−) and neither; no request is sent to the teacher."""
    from nsad_cli.cli.render.tables import ledger_table
    from nsad_cli.cli.review import require_terminal, review
    from nsad_cli.cli.run_selection import execute, existing_run
    from nsad_cli.errors import UsageError
    from nsad_cli.grading.grade import count_verdicts
    from nsad_cli.grading.review_statistics import summarise_reviews
    from nsad_cli.pipeline.collect_stage import graded
    from nsad_cli.store.rationales import Store
    from nsad_cli.store.records import ReviewSource

    if sample and not by_hand:
        raise UsageError("--sample needs --review", "it is the number of samples of D− to review", "add --review")
    if by_hand:
        require_terminal()
    run = existing_run(run_name)
    if not by_hand or force or not graded(run):  # a review may run while a training holds the run's lock
        execute(run, ["grade"], force=force)
    params = run.stages()["collect"]["result"]["params"]
    with Store(run.store_path) as store:
        if by_hand:
            review(store, params, sample or 0)
        counted, labels = count_verdicts(store, params).as_dict(), store.reviews.labels(params)
    wrong, disputed = summarise_reviews(labels, ReviewSource.SAMPLE), summarise_reviews(labels, ReviewSource.DISPUTED)
    if as_json:
        print_json({"run": run.name, **counted, "reviews": {"wrong": wrong.as_dict(), "disputed": disputed.as_dict()}})
        return
    out().print(ledger_table(counted["rows"]))
    for line in (*_about_wrong(wrong), *_about_disputed(disputed)):
        out().print(line, markup=False)
    note(f"next: nsad train-nat --run {run.name}")


def _about_wrong(found: ReviewSummary) -> list[str]:
    """Describe the estimate of right rationales in D−."""
    if not found.draws:
        return []
    if found.estimate is None or found.interval is None:
        return [
            f"D−: {found.draws:,} samples. How many of them are really right is unknown, because no random "
            "sample has been reviewed; review one with `nsad grade --review --sample 50`."
        ]
    low, high = found.interval
    lines = [
        f"D−: {found.draws:,} samples. Of a random {found.reviewed:,} reviewed by hand, "
        f"{_outcomes(found)}. So about {found.estimate:,.0f} of the {found.draws:,} are really right "
        f"({found.estimate / found.draws:.1%}; 95 % interval {low:,} to {high:,})"
        + (f"; found so far, and in D+ now: {found.right:,}." if found.right else ".")
    ]
    if found.skipped:
        lines.append(f"    Skipped, and not counted: {found.skipped:,}.")
    if found.unseen:
        lines.append(
            f"    D− has changed since: {found.unseen:,} samples that nobody has reviewed now precede the end of the "
            "random sample. The next --sample begins with them; until then the estimate is biased."
        )
    return lines


def _about_disputed(found: ReviewSummary) -> list[str]:
    """Describe the reviews of disputed samples."""
    if not found.draws:
        return []
    left = found.draws - found.reviewed
    text = f"Disputed: {found.draws:,} samples, which are in neither D+ nor D−. "
    if found.interval is None:
        return [text + "None is reviewed yet; review them with `nsad grade --review`."]
    low, high = found.interval
    text += f"Of {found.reviewed:,} reviewed by hand {_outcomes(found)}"
    if not left:
        return [text + "."]
    return [
        f"{text}; so about {found.estimate:,.0f} of the {found.draws:,} are right (95 % interval {low:,} to {high:,}). "
        f"{left:,} are left for `nsad grade --review`."
    ]


def _outcomes(found: ReviewSummary) -> str:
    """As `3 are right, 46 wrong, 1 has a bad gold answer`."""
    parts = [f"{found.right:,} {'is' if found.right == 1 else 'are'} right"]
    outcomes = {"wrong": "wrong", "no_answer": "without an answer", "bad_gold": "with a bad gold answer"}
    parts += [f"{found.outcomes[name]:,} {words}" for name, words in outcomes.items() if name in found.outcomes]
    return ", ".join(parts)
